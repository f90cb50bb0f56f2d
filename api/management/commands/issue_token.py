"""Prints an access token like those of Supabase Auth, for development. Requires DEBUG=true."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.core.validators import validate_email

from api.auth.development_tokens import development_token
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the same address always gives the same member")
        parser.add_argument("--role", default="", help="app_metadata.role; `staff` makes the member staff")
        parser.add_argument("--sub", type=UUID, help="the member's UUID, instead of one made from the email")
        parser.add_argument("--ttl", type=int, default=3600, help="seconds until it expires (3600)")
        parser.add_argument("--service-role", action="store_true", help="print a service key for Storage")

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("This requires DEBUG=true: in production, Supabase Auth issues the tokens.")
        try:
            validate_email(options["email"])
        except ValidationError:
            raise CommandError(f"{options['email']!r} is not an email address.") from None
        token = development_token(
            options["email"],
            sub=options["sub"],
            role=options["role"],
            seconds=options["ttl"],
            service=options["service_role"],
        )
        self.stdout.write(token)
