"""What an entry has to be, whoever writes it: the API's shapes and the admin's forms ask these.

Each raises Django's ValidationError, which both understand.
"""

from datetime import date
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from iso4217 import Currency

from api.catalog.scientific_names import NotAName, normalise

CURRENCIES = frozenset(currency.code for currency in Currency)
NAME_IS_TAKEN = _("There is a species of this name already.")
CURRENCY_IS_MISSING = _("A price needs its currency.")


def scientific_name(text: str) -> str:
    """Put right where it is only written carelessly, refused where it is no name."""
    try:
        return normalise(text)
    except NotAName as error:
        raise ValidationError(str(error), code="not_a_name") from None


def is_currency(code: str) -> None:
    if code not in CURRENCIES:
        raise ValidationError(_("Send a currency of ISO 4217, such as EUR."), code="currency")


def opens_before_it_closes(opens_on: date | None, closes_on: date | None) -> None:
    if opens_on and closes_on and closes_on < opens_on:
        message = _("It cannot close before it opens, on %(day)s.")
        late = ValidationError(message, code="before_opening", params={"day": opens_on})
        raise ValidationError({"closes_on": late})


def price_has_its_currency(price: Decimal | None, currency: str) -> None:
    if price and not currency:
        raise ValidationError({"currency": ValidationError(CURRENCY_IS_MISSING, code="required")})
