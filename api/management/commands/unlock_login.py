"""Forgets all wrong passwords of the admin's login, so that everybody may try again at once."""

from typing import Any

from api.admin_site.login_limits import AttemptCount
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        AttemptCount.objects.all().delete()
        self.stdout.write("unlocked")
