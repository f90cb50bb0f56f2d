"""The models of the catalogue: species, exhibitions and educational services."""

from datetime import date
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import IntegrityError, models, transaction
from django.db.models import FilteredRelation, OuterRef, Q, Subquery, Value
from django.urls import reverse
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from api.auth.principal import Principal
from api.base_models import Resource, filter_indexes, ordering_indexes, time_indexes
from api.catalog import rules
from api.search import search_column
from storage.fields import StoredFile, UploadField

QR_CODE_FOLDER = "qr-codes"  # in the bucket of the species, whose other folders are slugs
RESERVED_SLUGS = {QR_CODE_FOLDER}
POSITIVE_INTEGER = [MinValueValidator(1), MaxValueValidator(2**31 - 1)]  # the range of PostgreSQL's integer
UPLOADS = ("image", "pictures")  # what tickets for an entry are for
MAX_SLUG_LENGTH = 100  # characters; short, because slugs are printed on signs


class EntryQuerySet(models.QuerySet[Any]):
    def visible_to(self, principal: Principal | AnonymousUser) -> Self:
        """Staff see all entries, others those that are published."""
        return self if principal.is_staff else self.filter(published=True)

    def with_image(self) -> Self:
        """Load the first picture of each entry in the same query."""
        first = FilteredRelation("pictures", condition=Q(pictures__position=0))
        annotated = self.annotate(first_picture=first, is_image_loaded=Value(True))
        return annotated.select_related("first_picture")


class Entry(Resource):
    """The base class of species, exhibitions and educational services."""

    slug = models.SlugField(_("slug"), max_length=MAX_SLUG_LENGTH, unique=True, editable=False)
    description = models.TextField(_("description"), max_length=20_000, blank=True)
    published = models.BooleanField(_("published"), default=False, db_index=True)

    objects: ClassVar[Any] = EntryQuerySet.as_manager()
    bucket: ClassVar[str] = ""  # the public bucket of its pictures
    folder: ClassVar[str] = ""  # in the bucket, if that has the pictures of other entries too
    pictures: Any  # the reverse relation of its gallery
    first_picture: Any  # loaded by `with_image`, if there is one
    is_image_loaded = False  # annotated by `with_image`

    class Meta:
        abstract = True
        ordering = ["-id"]
        indexes = time_indexes()

    def get_absolute_url(self) -> str:
        return reverse(f"{self._meta.model_name}-detail", args=[self.slug])

    def may_be_changed_by(self, principal: Principal | AnonymousUser) -> bool:
        return principal.is_staff

    def pictures_folder(self) -> str:
        """Return the folder for its pictures in the bucket."""
        return f"{self.folder}/{self.slug}" if self.folder else self.slug

    @property
    def image(self) -> Any:
        """The first picture of the gallery, None if there is none."""
        if "first_picture" not in self.__dict__:
            loaded = self.is_image_loaded
            self.first_picture = None if loaded else self.pictures.filter(position=0).first()
        return self.first_picture

    @classmethod
    def upload_field(cls, name: str) -> UploadField:
        """Return the field for the files of tickets.

        With the name `image` they replace the first picture, with `pictures` they add one.
        """
        assert name in UPLOADS
        pictures: Any = cls._meta.get_field("pictures").related_model
        field: UploadField = pictures._meta.get_field("original")
        return field

    @classmethod
    def max_files(cls, name: str) -> int:
        return settings.PICTURES_PER_ENTRY if name == "pictures" else 1

    def upload_file(self, name: str, upload_id: UUID) -> StoredFile:
        """Return the file that the ticket replaces, or that of a new picture with the id of the ticket."""
        first = self.pictures.filter(position=0).first() if name == "image" else None
        position = 0 if name == "image" else None  # None: the last one
        picture = first or self.pictures.model(pk=upload_id, entry=self, position=position)
        return picture.original

    def slug_words(self) -> str:
        """Return the text that the slug is made from when the entry is created."""
        return str(self)

    def create(self) -> None:
        """Insert the entry with a unique slug: the second with the same text gets the suffix `-2`.

        If another request takes the slug at the same time, the next number is tried. Raises IntegrityError
        if another constraint fails.
        """
        words = slugify(self.slug_words())[: MAX_SLUG_LENGTH - 8].strip("-")
        stem = words or self._meta.model_name or "entry"
        number = 1
        while True:
            self.slug = stem if number == 1 else f"{stem}-{number}"
            taken = self.slug in RESERVED_SLUGS or type(self)._base_manager.filter(slug=self.slug).exists()
            if not taken:
                try:
                    with transaction.atomic():
                        return self.save(force_insert=True)
                except IntegrityError:
                    if not type(self)._base_manager.filter(slug=self.slug).exists():
                        raise
            number += 1


class Species(Entry):
    class ConservationStatus(models.TextChoices):
        """The categories of the IUCN Red List."""

        EXTINCT = "EX", _("Extinct")
        EXTINCT_IN_THE_WILD = "EW", _("Extinct in the wild")
        CRITICALLY_ENDANGERED = "CR", _("Critically endangered")
        ENDANGERED = "EN", _("Endangered")
        VULNERABLE = "VU", _("Vulnerable")
        NEAR_THREATENED = "NT", _("Near threatened")
        LEAST_CONCERN = "LC", _("Least concern")
        DATA_DEFICIENT = "DD", _("Data deficient")
        NOT_EVALUATED = "NE", _("Not evaluated")

    common_name = models.CharField(_("common name"), max_length=200)
    scientific_name = models.CharField(
        _("scientific name"), max_length=200, unique=True, error_messages={"unique": rules.NAME_IS_TAKEN}
    )
    habitat = models.TextField(_("habitat"), max_length=5000, blank=True)
    taxonomic_class = models.CharField(_("taxonomic class"), max_length=100, blank=True)
    taxonomic_order = models.CharField(_("taxonomic order"), max_length=100, blank=True)
    family = models.CharField(_("family"), max_length=100, blank=True)
    conservation_status = models.CharField(
        _("conservation status"),
        max_length=2,
        choices=ConservationStatus,
        default=ConservationStatus.NOT_EVALUATED,
    )
    qr_code = UploadField(
        _("QR code"),
        storage="species",
        accepts=["image/png"],
        max_bytes=settings.IMAGE_MAX_BYTES,
        folder=lambda species: QR_CODE_FOLDER,
        blank=True,
        editable=False,
    )
    search_text = search_column("common_name", "scientific_name", "description")

    bucket = "species"

    class Meta(Entry.Meta):
        verbose_name, verbose_name_plural = pgettext_lazy("one", "species"), pgettext_lazy("many", "species")
        ordering = ["common_name", "id"]
        indexes = [
            *ordering_indexes(
                "species",
                "common_name",
                "scientific_name",
                "taxonomic_class",
                "taxonomic_order",
                "family",
                "conservation_status",
                "created_at",
                "updated_at",
            ),
            *filter_indexes(
                "species",
                "common_name",
                "taxonomic_class",
                "taxonomic_order",
                "family",
                "conservation_status",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.common_name} ({self.scientific_name})"

    def slug_words(self) -> str:
        return slugify(self.common_name) or self.scientific_name


class JSONList(models.Aggregate):
    """Aggregates the values of a group to a JSON list, in no particular order."""

    function = "JSON_GROUP_ARRAY"
    output_field = models.JSONField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, function="JSONB_AGG", **context)


class ExhibitionQuerySet(EntryQuerySet):
    def with_species_visible_to(self, principal: Principal | AnonymousUser) -> Self:
        """Annotate `species_slugs`, the slugs of the visible species or None, without another query."""
        shown = Species.objects.visible_to(principal).filter(exhibitions=OuterRef("pk"))
        slugs = shown.values("exhibitions").annotate(slugs=JSONList("slug")).values("slugs")
        return self.annotate(species_slugs=Subquery(slugs))

    def open_on(self, day: date) -> Self:
        """Return the exhibitions that are open on this day. A missing date is no limit."""
        opened = Q(opens_on__lte=day) | Q(opens_on=None)
        return self.filter(opened, Q(closes_on__gte=day) | Q(closes_on=None))


class Exhibition(Entry):
    title = models.CharField(_("title"), max_length=200)
    location = models.CharField(_("location"), max_length=200, blank=True)
    opens_on = models.DateField(_("opens on"), null=True, blank=True)
    closes_on = models.DateField(_("closes on"), null=True, blank=True, help_text=_("Empty: permanent."))
    species_slugs: list[str] | None  # annotated by `with_species_visible_to`
    species = models.ManyToManyField(
        Species, verbose_name=pgettext_lazy("many", "species"), related_name="exhibitions", blank=True
    )
    search_text = search_column("title", "location", "description")

    objects: ClassVar[Any] = ExhibitionQuerySet.as_manager()
    bucket = "exhibitions"

    class Meta(Entry.Meta):
        verbose_name, verbose_name_plural = _("exhibition"), _("exhibitions")
        ordering = ["-opens_on", "-id"]
        indexes = ordering_indexes("exhibition", "title", "opens_on", "closes_on", "created_at", "updated_at")
        constraints = [
            models.CheckConstraint(
                condition=Q(opens_on=None) | Q(closes_on=None) | Q(closes_on__gte=models.F("opens_on")),
                name="exhibition_opens_before_it_closes",
            )
        ]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        rules.validate_dates(self.opens_on, self.closes_on)


class EducationalService(Entry):
    title = models.CharField(_("title"), max_length=200)
    audience = models.CharField(_("audience"), max_length=100, blank=True)
    duration_minutes = models.PositiveIntegerField(
        _("duration in minutes"), null=True, blank=True, validators=POSITIVE_INTEGER
    )
    capacity = models.PositiveIntegerField(_("capacity"), null=True, blank=True, validators=POSITIVE_INTEGER)
    price = models.DecimalField(
        _("price"), max_digits=10, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(0)]
    )
    currency = models.CharField(
        _("currency"), max_length=3, blank=True, validators=[rules.is_currency], help_text=_("ISO 4217.")
    )
    search_text = search_column("title", "audience", "description")

    bucket = "educational-services"

    class Meta(Entry.Meta):
        verbose_name, verbose_name_plural = _("educational service"), _("educational services")
        ordering = ["title", "id"]
        indexes = [
            *ordering_indexes(
                "service", "title", "audience", "price", "duration_minutes", "created_at", "updated_at"
            ),
            *filter_indexes("service", "title", "audience"),
        ]

    def __str__(self) -> str:
        return self.title

    def clean(self) -> None:
        rules.validate_price(self.price, self.currency)
