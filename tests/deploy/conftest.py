"""The programs that these tests need."""

import shutil

import pytest

from tests.conftest import missing
from tests.deploy.nginx import nginx_program


@pytest.fixture(scope="session")
def nginx() -> None:
    if not (nginx_program() and shutil.which("openssl")):
        missing("nginx and openssl are needed to run deploy/nginx.conf: on Debian, apt install nginx-light")
