"""The filters of profiles."""

from api.filters import ResourceFilters
from api.profiles.models import Profile


class ProfileFilters(ResourceFilters):
    class Meta:
        model = Profile
        fields: list[str] = []
