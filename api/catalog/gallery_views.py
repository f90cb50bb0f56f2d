"""The views of galleries: everybody may see the pictures of what is published, staff may change them."""

from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from api.catalog import galleries
from api.catalog.caching import VisitorCacheMixin
from api.catalog.gallery_serializers import PictureSerializer
from api.catalog.models import Entry
from api.catalog.pictures import Picture
from api.conditional_requests import ConditionalMixin
from api.pagination import PagePagination
from api.permissions import IsStaff, IsStaffOrReadOnly
from api.query_parameters import KnownParametersMixin
from api.throttling import TicketRateThrottle
from api.uploads.serializers import DownloadURLSerializer
from api.uploads.views import DELETED, DOWNLOAD, TICKET, TicketMixin, deleted, signed_url

SUMMARIES = {
    "list": extend_schema(summary="List the pictures of an entry, in their order"),
    "retrieve": extend_schema(summary="Read a picture"),
    "partial_update": extend_schema(
        summary="Change the texts, the licence or the position of a picture",
        description="The pictures between the old and the new position make room.",
    ),
    "destroy": extend_schema(
        summary="Delete a picture",
        description="The pictures behind it move up.",
        responses=DELETED,
    ),
    "upload_url": extend_schema(summary="Ask for a ticket to add a picture"),
    "original_url": extend_schema(
        summary="Get a URL to read the uploaded file (staff)",
        parameters=[DOWNLOAD],
        responses=DownloadURLSerializer,
        filters=False,
    ),
}


@extend_schema_view(**SUMMARIES)
class PictureViewSet(
    KnownParametersMixin,
    VisitorCacheMixin,
    ConditionalMixin,
    TicketMixin,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    GenericViewSet[Any],
):
    """The pictures of the entry whose `slug` is in the URL."""

    serializer_class = PictureSerializer
    permission_classes = (IsStaffOrReadOnly,)
    http_method_names = ("get", "post", "patch", "delete", "head", "options")
    filter_backends = ()
    problems = {
        "upload_url": ["gallery_full", "storage_unavailable"],
        "original_url": ["file_missing", "storage_unavailable"],
    }
    pagination_class = PagePagination  # no cursor: positions move, and a gallery fits on one page
    lookup_value_regex = "[-0-9a-fA-F]+"
    entries: Any  # the model of the entries

    def get_entry(self) -> Entry:
        visible = self.entries.objects.visible_to(self.request.user)
        entry: Entry = get_object_or_404(visible, slug=self.kwargs["slug"])
        return entry

    def get_queryset(self) -> QuerySet[Any]:
        pictures: QuerySet[Any] = self.get_entry().pictures.order_by("position")
        return pictures

    def filter_queryset(self, queryset: Any) -> Any:
        """Return a list for the list: its length needs no query."""
        return list(queryset) if self.action == "list" else queryset

    def destroy(self, request: Request, slug: str, pk: str) -> Response:
        return deleted(galleries.delete(self.get_object()))

    @extend_schema(
        description="When it is completed, the picture is the last one of the gallery. 409 `gallery_full` if "
        "the entry has as many pictures and open tickets as it may have.",
        **TICKET,
    )
    @action(detail=False, methods=["post"], url_path="upload-url", throttle_classes=[TicketRateThrottle])
    def upload_url(self, request: Request, slug: str) -> Response:
        entry = self.get_entry()
        return self.issue_ticket(request, entry, "pictures", partial(galleries.check_ticket, entry))

    @action(
        detail=True,
        methods=["get"],
        url_path="original-url",
        permission_classes=[IsStaff],
        query_parameters=["download"],
    )
    def original_url(self, request: Request, slug: str, pk: str) -> Response:
        picture: Picture = self.get_object()
        return signed_url(request, picture.source)


def gallery_viewset(entries: Any) -> type[PictureViewSet]:
    """Return the viewset of the pictures of these entries. `entries` is their model."""
    pictures = entries._meta.get_field("pictures").related_model
    members = {"queryset": pictures._base_manager.none(), "entries": entries, "__module__": __name__}
    return type(f"{pictures.__name__}ViewSet", (PictureViewSet,), members)
