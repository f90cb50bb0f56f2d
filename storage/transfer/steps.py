"""What going back and clearing up say of each row or file."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What became of it: `done`, or the reason why not, with a message for people."""

    what: str
    message: str = ""
