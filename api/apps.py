"""The Django app `api`."""

from django.apps import AppConfig
from django.conf import settings


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "Vivarium"

    def ready(self) -> None:
        from api import checks, schema  # noqa: F401  (registers system checks and the OpenAPI extension)
        from api.uploads import scanning

        if settings.UPLOAD_SCANNER:
            scanning.load(settings.UPLOAD_SCANNER)  # servers do not run system checks
