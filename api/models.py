"""Imports the models of catalog, documents, profiles and uploads, so that Django finds them."""

from api.catalog.models import EducationalService, Exhibition, Species
from api.documents.models import Document
from api.profiles.models import Profile
from api.uploads.models import Upload, WebhookMessage

__all__ = ["Document", "EducationalService", "Exhibition", "Profile", "Species", "Upload", "WebhookMessage"]
