"""Imports the models of all packages, so that Django finds them."""

from api.admin_site.login_limits import AttemptCount
from api.catalog.models import EducationalService, Exhibition, Species
from api.documents.models import Document
from api.idempotency import IdempotencyKey
from api.profiles.models import Profile
from api.uploads.models import Removal, Upload, WebhookMessage

__all__ = [
    "AttemptCount",
    "Document",
    "EducationalService",
    "Exhibition",
    "IdempotencyKey",
    "Profile",
    "Removal",
    "Species",
    "Upload",
    "WebhookMessage",
]
