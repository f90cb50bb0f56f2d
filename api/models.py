"""Imports the models of all packages, so that Django finds them."""

from api.admin_site.login_limits import AttemptCount
from api.auth.local.models import LocalSession, LocalSigningKey, LocalUser
from api.catalog.models import EducationalService, Exhibition, Species
from api.catalog.pictures import EducationalServicePicture, ExhibitionPicture, SpeciesPicture
from api.documents.models import Document
from api.idempotency import IdempotencyKey
from api.profiles.models import Profile
from api.sweep_status import LastSweep
from api.uploads.models import Removal, Upload, WebhookMessage

__all__ = [
    "AttemptCount",
    "Document",
    "EducationalService",
    "EducationalServicePicture",
    "Exhibition",
    "ExhibitionPicture",
    "IdempotencyKey",
    "LastSweep",
    "LocalSession",
    "LocalSigningKey",
    "LocalUser",
    "Profile",
    "Removal",
    "Species",
    "SpeciesPicture",
    "Upload",
    "WebhookMessage",
]
