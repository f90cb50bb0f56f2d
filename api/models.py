"""Gathers the rooms' models, where Django looks for them."""

from api.documents.models import Document
from api.profiles.models import Profile
from api.uploads.models import Upload

__all__ = ["Document", "Profile", "Upload"]
