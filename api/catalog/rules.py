"""Rules of the catalogue, used by the API's serializers and the admin's forms.

Each raises Django's ValidationError, which both handle.
"""

from datetime import date
from decimal import Decimal
from functools import cache

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from api.catalog.scientific_names import InvalidName, normalise

NAME_IS_TAKEN = _("There is a species of this name already.")  # a migration contains it too
CURRENCY_IS_MISSING = _("A price needs its currency.")


def clean_scientific_name(text: str) -> str:
    """Return the name in its correct spelling. See `api.catalog.scientific_names`."""
    try:
        return normalise(text)
    except InvalidName as error:
        raise ValidationError(str(error), code="not_a_name") from None


def is_currency(code: str) -> None:
    """Validate a currency code of ISO 4217. A migration refers to this function by its path."""
    if code not in _currencies():
        raise ValidationError(_("Use a currency code of ISO 4217, such as EUR."), code="currency")


@cache
def _currencies() -> frozenset[str]:
    from iso4217 import Currency  # noqa: PLC0415  (it reads a large XML file)

    return frozenset(currency.code for currency in Currency)


def validate_dates(opens_on: date | None, closes_on: date | None) -> None:
    if opens_on and closes_on and closes_on < opens_on:
        message = _("It cannot close before it opens, on %(day)s.")
        error = ValidationError(message, code="before_opening", params={"day": opens_on})
        raise ValidationError({"closes_on": error})


def validate_price(price: Decimal | None, currency: str) -> None:
    if price and not currency:
        raise ValidationError({"currency": ValidationError(CURRENCY_IS_MISSING, code="required")})
