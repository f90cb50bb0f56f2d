"""Loads demo data: two members with real documents. Safe to repeat."""

from typing import Any

from django.core.management.base import BaseCommand

from api import demo


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        for made in demo.load():
            self.stdout.write(f"made {made}")
