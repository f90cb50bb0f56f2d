"""A development server, at which anna has an account."""

import pytest

from tests.support import auth_urls  # imported while LOCAL_AUTH is not set, for the tests of other packages
from tests.support.auth_client import AuthClient

ANNA = "anna@example.org"


@pytest.fixture(autouse=True)
def local_auth(settings, db) -> None:
    settings.LOCAL_AUTH = settings.DEBUG = True
    settings.ROOT_URLCONF = auth_urls.__name__


@pytest.fixture
def anna() -> AuthClient:
    """She has signed up, and is signed in."""
    anna = AuthClient()
    assert anna.sign_up(ANNA).status == 200
    return anna
