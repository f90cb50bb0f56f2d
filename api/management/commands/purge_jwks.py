"""Makes every process drop its public keys and fetch them again, after a key has been revoked."""

from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from api.auth import jwks_cache
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.SUPABASE_JWKS_URL:
            raise CommandError("There are no public keys to purge: SUPABASE_JWKS_URL is not set.")
        if "locmem" in settings.CACHES["default"]["BACKEND"]:
            raise CommandError(
                "Nothing is purged: the cache is in-process, so no other process would notice. "
                "Restart the server, or set CACHE_URL."
            )
        try:
            jwks_cache.purge(settings.SUPABASE_JWKS_URL)
        except Exception as error:  # each cache backend has its own exceptions
            raise CommandError(f"Nothing is purged: the cache failed with {type(error).__name__}.") from error
        self.stdout.write("purged: every process drops its keys within a second and fetches them again")
