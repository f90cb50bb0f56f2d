"""Forgets all wrong passwords of the admin's login, so that everybody may try again at once."""

from typing import Any

from django.core.management.base import BaseCommand

from api.admin_site.login_limits import AttemptCount


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        AttemptCount.objects.all().delete()
        self.stdout.write("unlocked")
