"""A model for each package that brings a field, and plain ones for those that need none."""

from django.db import models
from django_cleanup import cleanup
from django_resized import ResizedImageField
from easy_thumbnails.fields import ThumbnailerImageField
from imagekit.models import ImageSpecField, ProcessedImageField
from imagekit.processors import ResizeToFill, ResizeToFit
from sorl.thumbnail import ImageField as SorlImageField
from stdimage import JPEGField, StdImageField
from versatileimagefield.fields import PPOIField, VersatileImageField


class Picture(models.Model):
    """For easy-thumbnails."""

    image = ThumbnailerImageField(upload_to="pictures", resize_source={"size": (100, 100)})


class Photo(models.Model):
    """For sorl-thumbnail."""

    image = SorlImageField(upload_to="photos")


class Portrait(models.Model):
    """For django-imagekit."""

    original = models.ImageField(upload_to="portraits")
    small = ImageSpecField(source="original", processors=[ResizeToFill(40, 30)], format="PNG")
    stored = ProcessedImageField(
        upload_to="portraits/stored", processors=[ResizeToFit(50, 50)], format="PNG", blank=True
    )


class View(models.Model):
    """For django-versatileimagefield."""

    image = VersatileImageField(upload_to="views", ppoi_field="center", width_field="width")
    center = PPOIField()
    width = models.PositiveIntegerField(default=0, editable=False)


class Poster(models.Model):
    """For django-stdimage."""

    image = StdImageField(
        upload_to="posters",
        variations={"large": (60, 40), "thumb": (20, 20, True)},
        delete_orphans=True,
    )
    sketch = JPEGField(upload_to="sketches", variations={"small": (30, 30)}, delete_orphans=True, blank=True)


@cleanup.select
class Leaflet(models.Model):
    """For django-cleanup."""

    file = models.FileField(upload_to="leaflets")
    cover = models.ImageField(upload_to="covers", blank=True)


class Animal(models.Model):
    """For django-import-export."""

    name = models.CharField(max_length=50)
    count = models.IntegerField(default=0)


class Banner(models.Model):
    """For django-resized."""

    image = ResizedImageField(size=[50, 30], crop=["middle", "center"], upload_to="banners", quality=75)
    icon = ResizedImageField(size=[16, 16], force_format="PNG", upload_to="icons", blank=True)
