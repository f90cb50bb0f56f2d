"""Models with files as other people write them."""

from uuid import uuid4

from django.db import models


class Shown(models.Manager):
    """Hides rows, as projects with soft deletion do."""

    def get_queryset(self):
        return super().get_queryset().filter(retired=False)


class Guide(models.Model):
    """A row that `save()` must never be called on, and whose managers do not show every row."""

    leaflet = models.FileField(upload_to="leaflets")
    cover = models.ImageField(upload_to="covers", null=True, blank=True)
    retired = models.BooleanField(default=False)
    touched_at = models.DateTimeField(auto_now=True)

    objects = Shown()

    class Meta:
        base_manager_name = "objects"

    def save(self, *args, **options):
        raise AssertionError("a move must not save")


class Recording(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid4)
    audio = models.FileField(max_length=40)


class Page(models.Model):
    pk = models.CompositePrimaryKey("book", "number")
    book = models.CharField(max_length=20)
    number = models.IntegerField()
    scan = models.FileField()
