"""The accounts of the demo, with which one signs in at the local Auth server. Their password is no secret."""

from dataclasses import dataclass

PASSWORD = "vivarium"


@dataclass(frozen=True, slots=True)
class DemoAccount:
    """`role` is that of `app_metadata`: `staff`, or "" for a member."""

    email: str
    role: str = ""


ACCOUNTS = [
    DemoAccount("alice@example.org"),
    DemoAccount("bob@example.org"),
    DemoAccount("curator@example.org", role="staff"),
]
