"""The network address of a client, also behind proxies."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

Address = IPv4Address | IPv6Address

WITH_PORT = re.compile(r"(?P<v4>[\d.]+):\d+|\[(?P<v6>[^\]]+)\](:\d+)?", re.ASCII)
IPV6_PREFIX = 64  # the network of one customer, who may use any address in it


def client_network(request: HttpRequest) -> str:
    """Return the address of the client, for IPv6 its /64 network; "" if it is unknown.

    A proxy adds the address of its peer at the end of `X-Forwarded-For`. Whatever is before that may be
    invented by the client. So the header is read from the end, and only as far as FORWARDED_ALLOW_IPS, the
    proxies that gunicorn trusts, have written it.
    """
    address = _parse(request.META.get("REMOTE_ADDR", ""))
    for hop in reversed(request.headers.get("X-Forwarded-For", "").split(",")):
        if not _is_proxy(address) or (before := _parse(hop)) is None:
            break
        address = before
        if "*" in settings.FORWARDED_ALLOW_IPS:
            break  # every peer counts as a proxy, so only the last entry is known to be one's own
    if isinstance(address, IPv6Address):
        return str(ip_network((address, IPV6_PREFIX), strict=False))
    return str(address or "")


def _parse(text: str) -> Address | None:
    """Return the address without its port, which some proxies add; None if there is none."""
    match = WITH_PORT.fullmatch(text.strip())
    try:
        address = ip_address(match["v4"] or match["v6"] if match else text.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _is_proxy(address: Address | None) -> bool:
    """Return whether gunicorn trusts this peer. A peer without an address is at a Unix socket: it does."""
    allowed = settings.FORWARDED_ALLOW_IPS
    return address is None or "*" in allowed or any(address in ip_network(each) for each in allowed)
