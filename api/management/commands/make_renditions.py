"""Makes the renditions of all pictures and avatars again, or of those that have none. Can be repeated.

New renditions have new URLs; the old ones are deleted. Exit code 1 if some could not be made.
"""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from api.uploads import renditions
from storage.management.base import BaseCommand

MAX_JOBS = 16


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--missing", action="store_true", help="only for pictures without renditions")
        parser.add_argument("--dry-run", action="store_true", help="print the pictures, and change nothing")
        parser.add_argument(
            "--jobs",
            type=_jobs,
            default=2,
            metavar="N",
            help="how many pictures are loaded, converted and stored at once (default: %(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        pictures = renditions.find(only_missing=options["missing"])
        if options["dry_run"]:
            for picture in pictures:
                self.stdout.write(str(picture))
            return self.stdout.write(f"{len(pictures)} pictures; nothing was changed")
        failed = 0
        for number, (picture, error) in enumerate(renditions.make_all(pictures, jobs=options["jobs"]), 1):
            failed += bool(error)
            result = f"failed: {error}" if error else "made"
            self.stdout.write(f"{number}/{len(pictures)} {picture}: {result}")
        self.stdout.write(f"{len(pictures) - failed} made, {failed} failed")
        if failed:
            raise CommandError("Some renditions could not be made: mend the cause, and run it again.")


def _jobs(text: str) -> int:
    if text.isdecimal() and 1 <= int(text) <= MAX_JOBS:
        return int(text)
    raise ArgumentTypeError(f"choose a number from 1 to {MAX_JOBS}")
