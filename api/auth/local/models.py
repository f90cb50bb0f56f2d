"""The tables of the local Auth server. They are empty unless LOCAL_AUTH is set."""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import get_random_string

from api.base_models import Resource

KEY_LENGTH = 43  # characters: 256 bits
MAC_SIZE = 16  # bytes
COUNTER_SIZE = 4  # bytes


def new_refresh_key() -> str:
    return get_random_string(KEY_LENGTH)


class LocalUser(Resource):
    """A user. Anonymous users have no email address and no password, which are then empty."""

    email = models.CharField(max_length=255, blank=True, help_text="In lower case.")
    password = models.CharField(max_length=128, blank=True, help_text="A hash, as Django writes it.")
    app_metadata = models.JSONField(default=dict, help_text="What only servers write, such as a role.")
    user_metadata = models.JSONField(default=dict, help_text="What users write themselves.")
    sign_up_data = models.JSONField(default=dict, help_text="The user's metadata as they were at first.")
    confirmed_at = models.DateTimeField(null=True, help_text="When the email address was added.")
    last_sign_in_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["email"], condition=~Q(email=""), name="local_user_email")
        ]

    def __str__(self) -> str:
        return self.email or str(self.pk)

    @property
    def is_anonymous(self) -> bool:
        return not self.email

    @property
    def identity_id(self) -> UUID:
        return uuid5(self.pk, "email")


class LocalSession(models.Model):
    """A session, from one sign-in to its logout.

    Its refresh tokens are numbered. They are not stored: `refresh_key` signs them. Source: the refresh tokens
    of version 2 of Supabase Auth.
    """

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    user = models.ForeignKey(LocalUser, on_delete=models.CASCADE, related_name="sessions")
    method = models.CharField(max_length=20, help_text="How the user signed in: password or anonymous.")
    refresh_key = models.CharField(max_length=KEY_LENGTH, default=new_refresh_key)
    counter = models.PositiveIntegerField(default=0, help_text="The number of its current refresh token.")
    created_at = models.DateTimeField(default=timezone.now)
    refreshed_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return str(self.pk)

    def refresh_token(self, counter: int | None = None) -> str:
        """Return the refresh token with this number, by default the current one."""
        number = self.counter if counter is None else counter
        content = self.pk.bytes + number.to_bytes(COUNTER_SIZE, "big")
        mac = hmac.digest(self.refresh_key.encode(), content, sha256)[:MAC_SIZE]
        return urlsafe_b64encode(content + mac).decode()

    def rotate(self, counter: int) -> bool:
        """Make the next refresh token the current one, if the current one has this number.

        Returns False if it has another, because of a concurrent request or an earlier one.
        Raises DoesNotExist if the session has ended meanwhile.
        """
        changes: dict[str, Any] = {"counter": F("counter") + 1, "refreshed_at": timezone.now()}
        same = type(self).objects.filter(pk=self.pk, counter=counter)
        is_rotated = bool(same.update(**changes))
        self.refresh_from_db()
        return is_rotated


class LocalSigningKey(models.Model):
    """The private key that signs access tokens. There is one row, with the primary key 1."""

    private_key = models.TextField(help_text="In PEM, not encrypted.")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"made at {self.created_at}"
