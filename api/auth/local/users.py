"""Creates and changes the users of the local Auth server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.hashers import check_password, make_password
from django.db import IntegrityError, transaction
from django.utils import timezone

from api.auth.local.models import LocalSession, LocalUser

#: `app_metadata` of a user with an email address. Source: Supabase Auth.
EMAIL_PROVIDER = {"provider": "email", "providers": ["email"]}
#: `user_metadata` of a user whose address is confirmed.
VERIFIED = {"email_verified": True}


class EmailTaken(Exception):
    """Another user has this email address."""


def find(email: str) -> LocalUser | None:
    """Return the user with this email address, in whatever case it is written."""
    return LocalUser.objects.filter(email=email.lower()).first() if email else None


def create(
    email: str,
    password: str,
    *,
    data: dict[str, Any] | None = None,
    app_metadata: dict[str, Any] | None = None,
    **fields: Any,
) -> LocalUser:
    """Create a user whose email address counts as confirmed. Raises EmailTaken.

    `data` are the user's own metadata, `app_metadata` is added to what every such user has, and `fields` may
    have an `id`.
    """
    data = data or {}
    user = LocalUser(
        **fields,
        sign_up_data=data,
        user_metadata={**data, **VERIFIED},
        app_metadata=app_metadata or {},
        password=make_password(password),
    )
    for name, value in _with_email(user, email).items():
        setattr(user, name, value)
    with _checking_email():
        user.save(force_insert=True)
    return user


def create_anonymous(data: dict[str, Any]) -> LocalUser:
    return LocalUser.objects.create(sign_up_data=data, user_metadata=data)


def has_password(user: LocalUser, password: str) -> bool:
    return check_password(password, user.password)


def change(
    user: LocalUser,
    session: LocalSession | None,
    *,
    email: str = "",
    password: str = "",
    data: dict[str, Any],
) -> LocalUser:
    """Change what is given, and return the user as it is then. Raises EmailTaken, DoesNotExist.

    `data` is merged into the metadata; None deletes a name. With another password, all sessions of the user
    but this one end.
    """
    hashed = make_password(password) if password else ""  # before the transaction: it takes long
    with _checking_email():
        user = LocalUser.objects.select_for_update().get(pk=user.pk)
        changes: dict[str, Any] = {"user_metadata": _merged(user.user_metadata, data)}
        if email and email != user.email:
            changes |= _with_email(user, email)
            changes["user_metadata"] |= VERIFIED
        if password:
            changes["password"] = hashed
            others = user.sessions.exclude(pk=session.pk) if session else user.sessions.all()
            others.delete()
        user.update(changes)
    return user


def _with_email(user: LocalUser, email: str) -> dict[str, Any]:
    """Return the changes that give the user this email address."""
    return {
        "email": email.lower(),
        "confirmed_at": timezone.now(),
        "app_metadata": {**EMAIL_PROVIDER, **user.app_metadata},
    }


def _merged(metadata: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**metadata, **data}.items() if value is not None}


@contextmanager
def _checking_email() -> Iterator[None]:
    """A transaction that raises EmailTaken if the constraint of the address is violated."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise EmailTaken from error
