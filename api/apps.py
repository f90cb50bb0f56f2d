"""The Django app `api`."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "Vivarium"

    def ready(self) -> None:
        from api import checks, schema  # noqa: F401  (registers system checks and the OpenAPI extension)
