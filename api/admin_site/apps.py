"""The app of Django's admin, with the site of Vivarium."""

from django.contrib.admin.apps import AdminConfig


class VivariumAdminConfig(AdminConfig):
    default_site = "api.admin_site.site.VivariumAdminSite"
