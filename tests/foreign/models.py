"""Models with files as other people write them."""

from uuid import uuid4

from django.db import models
from django.db.models.functions import Lower


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


class Article(models.Model):
    """Texts of every kind that mention files."""

    body = models.TextField(default="")
    link = models.URLField(max_length=60, default="")
    data = models.JSONField(null=True)
    search_text = models.GeneratedField(
        expression=Lower("body"), output_field=models.TextField(), db_persist=True
    )


class Headline(Article):
    """Has no texts of its own."""

    class Meta:
        proxy = True


class ArticleView(models.Model):
    """A view, which some databases do not let anybody write."""

    body = models.TextField()

    class Meta:
        managed = False
        db_table = "foreign_articleview"
