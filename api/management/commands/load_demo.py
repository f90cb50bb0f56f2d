"""Loads demo data: two members with real documents. Safe to repeat; refused without DEBUG."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from api import demo


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("Demo data is for DEBUG=true only.")
        for made in demo.load():
            self.stdout.write(f"made {made}")
