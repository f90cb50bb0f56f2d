"""The views of the catalogue: everybody may read what is published, staff may write."""

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet, ModelViewSet

from api.catalog import galleries, qr_codes
from api.catalog.caching import VisitorCacheMixin
from api.catalog.filters import EducationalServiceFilters, EntryFilters, ExhibitionFilters, SpeciesFilters
from api.catalog.gallery_views import gallery_viewset
from api.catalog.models import UPLOADS, EducationalService, Exhibition, Species
from api.catalog.serializers import EducationalServiceSerializer, ExhibitionSerializer, SpeciesSerializer
from api.compiled_queries import CompiledQueriesMixin
from api.conditional_requests import ConditionalMixin
from api.permissions import IsStaffOrReadOnly
from api.query_parameters import KnownParametersMixin
from api.throttling import FileRateThrottle
from api.uploads.views import DELETED, DeletionMixin, UploadURLMixin, deleted
from storage.errors import ObjectMissing

SUMMARIES = {
    "list": extend_schema(summary="List the entries that you may see"),
    "create": extend_schema(summary="Create an entry, without its image"),
    "retrieve": extend_schema(summary="Read an entry"),
    "update": extend_schema(summary="Replace an entry's fields"),
    "partial_update": extend_schema(summary="Change an entry"),
    "destroy": extend_schema(summary="Delete an entry, its pictures and its open tickets"),
    "upload_url": extend_schema(summary="Ask for a ticket to replace the image, which is the first picture"),
}


@extend_schema_view(**SUMMARIES)
class EntryViewSet(
    KnownParametersMixin,
    VisitorCacheMixin,
    ConditionalMixin,
    DeletionMixin,
    UploadURLMixin,
    CompiledQueriesMixin,
    ModelViewSet[Any],
):
    """The base class of the views of entries, with their galleries below them.

    A subclass sets `queryset` and `serializer_class`.
    """

    upload_field = "image"
    upload_fields = UPLOADS
    problems = {"image": ["file_missing"]}
    permission_classes = (IsStaffOrReadOnly,)
    filterset_class: Any = EntryFilters
    ordering_fields: Sequence[str] = ("created_at", "updated_at")
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"

    @classmethod
    def viewsets_below(cls) -> dict[str, type[GenericViewSet[Any]]]:
        return {"pictures": gallery_viewset(cls.queryset.model)}  # type: ignore[union-attr]

    def get_queryset(self) -> QuerySet[Any]:
        entries: Any = super().get_queryset()
        return entries.visible_to(self.request.user).with_image()

    @extend_schema(
        summary="Delete the image",
        description="The next picture of the gallery is then the image. 404 if there is none.",
        responses=DELETED,
    )
    @action(detail=True, methods=["delete"])
    def image(self, request: Request, slug: str) -> Response:
        entry = self.get_object()
        if entry.image is None:
            raise ObjectMissing
        return deleted(galleries.delete(entry.image))

    def get_success_headers(self, data: Any) -> dict[str, str]:
        return {"Location": reverse(f"{self.basename}-detail", args=[data["slug"]], request=self.request)}


class SpeciesViewSet(EntryViewSet, compiles_queries=True):
    queryset = Species.objects.all()
    serializer_class = SpeciesSerializer
    filterset_class = SpeciesFilters
    problems = {"qr_code": ["storage_unavailable"]}
    ordering_fields = (
        "common_name",
        "scientific_name",
        "taxonomic_class",
        "taxonomic_order",
        "family",
        "created_at",
        "updated_at",
    )

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        qr_codes.try_to_make(serializer.save(), only_missing=True)

    @extend_schema(
        summary="Make the QR code again",
        description="It links to the page of the species on the public site. The old QR code is deleted.",
        request=None,
        responses=SpeciesSerializer,
    )
    @action(detail=True, methods=["post"], url_path="qr-code", throttle_classes=[FileRateThrottle])
    def qr_code(self, request: Request, slug: str) -> Response:
        species = self.get_object()
        qr_codes.make(species)
        return Response(self.get_serializer(species).data)


class ExhibitionViewSet(EntryViewSet, compiles_queries=True):
    queryset = Exhibition.objects.all()
    serializer_class = ExhibitionSerializer
    filterset_class = ExhibitionFilters
    ordering_fields = ("title", "opens_on", "closes_on", "created_at", "updated_at")

    def get_queryset(self) -> QuerySet[Any]:
        exhibitions: Any = super().get_queryset()
        return exhibitions.with_species_visible_to(self.request.user)

    def perform_create(self, serializer: BaseSerializer[Any]) -> None:
        self._save(serializer)

    def perform_update(self, serializer: BaseSerializer[Any]) -> None:
        self._save(serializer)

    def _save(self, serializer: BaseSerializer[Any]) -> None:
        """Save, and read the exhibition again: `species_slugs` was annotated before the change."""
        serializer.instance = self.get_queryset().get(pk=serializer.save().pk)


class EducationalServiceViewSet(EntryViewSet, compiles_queries=True):
    queryset = EducationalService.objects.all()
    serializer_class = EducationalServiceSerializer
    filterset_class = EducationalServiceFilters
    ordering_fields = ("title", "audience", "price", "duration_minutes", "created_at", "updated_at")
