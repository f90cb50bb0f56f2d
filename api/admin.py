"""Gathers the rooms' admin pages, where Django looks for them, and names the site."""

from django.conf import settings
from django.contrib import admin
from django.utils.translation import gettext_lazy as _

from api.catalog.admin import EducationalServiceAdmin, ExhibitionAdmin, SpeciesAdmin
from api.documents.admin import DocumentAdmin
from api.profiles.admin import ProfileAdmin
from api.uploads.admin import TicketAdmin

__all__ = [
    "DocumentAdmin",
    "EducationalServiceAdmin",
    "ExhibitionAdmin",
    "ProfileAdmin",
    "SpeciesAdmin",
    "TicketAdmin",
]

admin.site.site_header = admin.site.site_title = "Vivarium"
admin.site.index_title = _("What is kept here")
admin.site.site_url = settings.PUBLIC_SITE_URL
