"""Exits with 0 if the server of this container answers `/livez`: the health check of the image."""

import http.client
import os
import sys


def allowed_host(names: str) -> str:
    """Return a host that the server accepts, from the value of ALLOWED_HOSTS."""
    first = names.split(",")[0].strip().removeprefix(".")
    return "localhost" if first in ("", "*") else first


def main() -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 8000), timeout=4)
    try:
        connection.request(
            "GET", "/livez", headers={"Host": allowed_host(os.environ.get("ALLOWED_HOSTS", ""))}
        )
        status = connection.getresponse().status
    except OSError as error:
        print(f"/livez does not answer: {error}")
        return 1
    print(f"/livez answered {status}")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main())
