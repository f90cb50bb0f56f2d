"""Imports the admin pages of all packages, so that Django finds them, and configures the admin site."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from api.admin_site.base import BoundedAdmin
from api.admin_site.removals import RemovalAdmin
from api.admin_site.tickets import TicketAdmin
from api.catalog.admin import EducationalServiceAdmin, ExhibitionAdmin, SpeciesAdmin
from api.documents.admin import DocumentAdmin
from api.profiles.admin import ProfileAdmin

__all__ = [
    "BoundedGroupAdmin",
    "BoundedUserAdmin",
    "DocumentAdmin",
    "EducationalServiceAdmin",
    "ExhibitionAdmin",
    "ProfileAdmin",
    "RemovalAdmin",
    "SpeciesAdmin",
    "TicketAdmin",
]

admin.site.unregister([Group, User])  # registered by Django, and registered again below


@admin.register(User)
class BoundedUserAdmin(BoundedAdmin, UserAdmin):
    search_fields = ("search_text",)
    folded_fields = tuple(UserAdmin.search_fields)


@admin.register(Group)
class BoundedGroupAdmin(BoundedAdmin, GroupAdmin):
    search_fields = ("search_text",)
    folded_fields = tuple(GroupAdmin.search_fields)


admin.site.site_header = admin.site.site_title = "Vivarium"
admin.site.index_title = _("Content management")
admin.site.site_url = settings.PUBLIC_SITE_URL

#: Messages of Django whose Spanish translation treats every noun as masculine. LOCALE_PATHS has precedence
#: over Django's catalogue, so they are translated again in `api/locale`.
DJANGO_MESSAGES = [
    gettext_noop("The {name} “{obj}” was added successfully."),
    gettext_noop("The {name} “{obj}” was added successfully. You may add another {name} below."),
    gettext_noop("The {name} “{obj}” was changed successfully."),
    gettext_noop("The {name} “{obj}” was changed successfully. You may add another {name} below."),
    gettext_noop("The {name} “{obj}” was changed successfully. You may edit it again below."),
    gettext_noop("The %(name)s “%(obj)s” was deleted successfully."),
    gettext_noop("Added {name} “{object}”."),
    gettext_noop("Changed {fields} for {name} “{object}”."),
    gettext_noop("Deleted {name} “{object}”."),
    gettext_noop("Delete selected %(verbose_name_plural)s"),
    gettext_noop("Successfully deleted %(count)d %(items)s."),
    gettext_noop(
        'Are you sure you want to delete the %(object_name)s "%(escaped_object)s"? '
        "All of the following related items will be deleted:"
    ),
]
