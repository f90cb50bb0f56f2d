"""Ports for servers that tests start as programs."""

import random
import socket
from pathlib import Path

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing uses.

    The kernel gives ephemeral ports to any connection and to any server that asks for port 0. The port is
    below them, so that none of the other tests gets it before the program listens.
    """
    lowest = int(EPHEMERAL.read_text().split()[0]) if EPHEMERAL.exists() else 32768
    for port in random.SystemRandom().sample(range(max(lowest - 20_000, 1024), lowest), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("100 ports are in use")
