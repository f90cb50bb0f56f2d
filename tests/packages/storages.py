"""The private storage of django-filer, whose commands make an instance without OPTIONS."""

from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


class PrivateFiles(import_string(settings.BACKEND)):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**settings.STORAGES["private"]["OPTIONS"], **options})
