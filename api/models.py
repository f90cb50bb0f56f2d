"""Imports the models of catalog, documents, profiles and uploads, so that Django finds them."""

from api.catalog.models import EducationalService, Exhibition, Species
from api.documents.models import Document
from api.profiles.models import Profile
from api.uploads.models import Removal, Upload, WebhookMessage

__all__ = [
    "Document",
    "EducationalService",
    "Exhibition",
    "Profile",
    "Removal",
    "Species",
    "Upload",
    "WebhookMessage",
]
