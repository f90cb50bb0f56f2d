"""Forms to upload with."""

from django.contrib import admin
from easy_thumbnails.widgets import ImageClearableFileInput
from import_export.admin import ImportExportModelAdmin
from sorl.thumbnail.admin import AdminImageMixin

from tests.packages import models


@admin.register(models.Picture)
class PictureAdmin(admin.ModelAdmin):
    def formfield_for_dbfield(self, db_field, request, **options):
        if db_field.name == "image":
            options["widget"] = ImageClearableFileInput(thumbnail_options={"size": (30, 30)})
        return super().formfield_for_dbfield(db_field, request, **options)


@admin.register(models.Photo)
class PhotoAdmin(AdminImageMixin, admin.ModelAdmin):
    pass


admin.site.register(models.Animal, ImportExportModelAdmin)
admin.site.register([models.Portrait, models.View, models.Poster, models.Leaflet, models.Banner])
