"""The Django app `api`."""

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.signals import connection_created


class ApiConfig(AppConfig):
    name = "api"
    verbose_name = "Vivarium"

    def ready(self) -> None:
        # They register system checks and the OpenAPI extension.
        from api import checks, deploy_checks, schema  # noqa: F401
        from api.search import add_fold
        from api.uploads import scanning

        connection_created.connect(add_fold)
        if settings.UPLOAD_SCANNER:
            scanning.load(settings.UPLOAD_SCANNER)  # servers do not run system checks
