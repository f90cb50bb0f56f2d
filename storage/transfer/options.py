"""The command line of `migrate_to_supabase`, and which options cannot be combined."""

import re
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

JOURNAL = Path("migrate_to_supabase.journal")
BACKUPS = Path("media_backup")
MAX_JOBS = 64
OTHER_MODES = ("rollback", "purge_source")
#: Options of a transfer. Other modes refuse them instead of ignoring them.
TRANSFER_OPTIONS = (
    "model",
    "dry_run",
    "backup",
    "report",
    "limit",
    "exclude",
    "bwlimit",
    "rewrite_text",
)
SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([kMG]?)B?", re.IGNORECASE)
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


class CannotStart(Exception):
    """The options or settings are wrong; the message has the cure."""


def add_arguments(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--model",
        action="append",
        default=[],
        help="only these files: Document, api.Document or api.Document.file; repeatable",
    )
    add("--dry-run", action="store_true", help="write nothing, and report what would happen")
    add(
        "--backup",
        nargs="?",
        const=BACKUPS,
        type=Path,
        metavar="DIR",
        help="copy the files first (media_backup/)",
    )
    add("--jobs", type=_jobs, default=8, help=f"files uploaded at the same time (8; at most {MAX_JOBS})")
    add("--journal", type=Path, default=JOURNAL, help=f"record of what was done ({JOURNAL})")
    add("--report", type=Path, metavar="FILE.json", help="write the result as JSON")
    conflicts = ["skip", "fail", "rename"]
    add("--on-conflict", choices=conflicts, default="skip", help="if another object has the key (skip)")
    add("--verify", choices=["sha256", "size"], default="sha256", help="how objects are verified (sha256)")
    add("--rewrite-text", action="store_true", help="also change the texts that mention moved files")
    add(
        "--site-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a host of the site in links, besides ALLOWED_HOSTS; repeatable",
    )
    add("--rollback", type=Path, metavar="JOURNAL", help="undo: rows name their local files again")
    add("--fetch", action="store_true", help="with --rollback: copy files back that only the bucket has")
    add(
        "--purge-source",
        action="store_true",
        help="delete local files that were moved, after verifying their objects",
    )
    add("--yes", action="store_true", help="do not ask for confirmation")
    add("--limit", type=_positive, help="stop after this number of files")
    add("--exclude", action="append", default=[], metavar="GLOB", help="file names to skip; repeatable")
    add("--bwlimit", type=_bytes, metavar="5M", help="bytes per second, for all jobs together")


def check(options: dict[str, Any]) -> None:
    """Refuse options that a mode would ignore, such as a dry run of a purge. Raises CannotStart."""
    for mode in OTHER_MODES:
        others = [name for name in (*TRANSFER_OPTIONS, *OTHER_MODES) if name != mode and options[name]]
        if options[mode] and others:
            raise CannotStart(f"{_flag(mode)} cannot be combined with {', '.join(map(_flag, others))}.")
    if options["fetch"] and not options["rollback"]:
        raise CannotStart("--fetch is an option of --rollback.")
    if options["report"] and options["report"].absolute() == options["journal"].absolute():
        raise CannotStart("--report and --journal name the same file, and a rollback needs the journal.")


def _flag(option: str) -> str:
    """Return the option as it is typed on the command line."""
    return f"--{option.replace('_', '-')}"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _jobs(text: str) -> int:
    if _positive(text) > MAX_JOBS:
        raise ArgumentTypeError(f"{text} is more than {MAX_JOBS}")
    return int(text)


def _bytes(text: str) -> int:
    match = SIZE.fullmatch(text)
    if not match or int(float(match[1]) * UNITS[match[2].upper()]) < 1:
        raise ArgumentTypeError(f"{text!r} is not a rate such as 500k, 5M or 1.5G")
    return int(float(match[1]) * UNITS[match[2].upper()])
