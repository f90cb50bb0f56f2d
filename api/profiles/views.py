"""Profiles: the member's own, and the avatar. Staff look."""

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from api import sessions
from api.authentication import principal_of
from api.permissions import MayChange
from api.profiles.erasure import erase, summary
from api.profiles.models import Profile
from api.profiles.serializers import Erased, ProfileSerializer
from api.throttles import Tickets
from api.uploads.serializers import DownloadURL, TicketSerializer, UploadRequest
from api.uploads.views import DOWNLOAD, issue_download, issue_ticket

ID = OpenApiParameter("id", str, OpenApiParameter.PATH, description="A member's UUID, or `me`.")


class MayChangeAndStaffList(MayChange):
    """... and who erases is asked of Supabase Auth, if so configured: it cannot be taken back."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        match getattr(view, "action", None):
            case "list":
                return principal_of(request).is_staff
            case "destroy":
                return sessions.lives(request)
        return True


@extend_schema_view(
    list=extend_schema(summary="List the profiles (staff)"),
    retrieve=extend_schema(summary="Read a profile", parameters=[ID]),
    partial_update=extend_schema(summary="Change your profile", parameters=[ID]),
)
@extend_schema(tags=["profiles"])
class ProfileViewSet(
    mixins.RetrieveModelMixin, mixins.UpdateModelMixin, mixins.ListModelMixin, GenericViewSet[Profile]
):
    serializer_class = ProfileSerializer
    permission_classes = (MayChangeAndStaffList,)
    http_method_names = ("get", "post", "patch", "delete", "head", "options")  # nothing to PUT as a whole
    search_fields = ("display_name",)
    ordering_fields = ("display_name", "created_at", "updated_at")
    queryset = Profile.objects.none()

    def get_queryset(self) -> QuerySet[Profile]:
        return Profile.objects.visible_to(principal_of(self.request))

    def get_object(self) -> Profile:
        """One's own is made by asking for it."""
        own = principal_of(self.request).id
        if self.kwargs["pk"] == "me" or _uuid(self.kwargs["pk"]) == own:
            return Profile.objects.of(own)
        return super().get_object()

    @extend_schema(
        summary="Erase yourself",
        description="Removes your profile, documents, files and tickets. Repeat it if it could not finish.",
        parameters=[ID],
        responses=Erased,
    )
    def destroy(self, request: Request, pk: str) -> Response:
        return Response(Erased(summary(erase(self.get_object().pk))).data)

    @extend_schema(
        summary="Ask for a ticket to send the avatar",
        parameters=[ID],
        request=UploadRequest,
        responses={201: TicketSerializer},
    )
    @action(detail=True, methods=["post"], url_path="upload-url", throttle_classes=[Tickets])
    def upload_url(self, request: Request, pk: str) -> Response:
        return issue_ticket(self, "avatar")

    @extend_schema(
        summary="Get a URL to read the avatar",
        parameters=[ID, DOWNLOAD],
        responses=DownloadURL,
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="download-url")
    def download_url(self, request: Request, pk: str) -> Response:
        return issue_download(self, "avatar")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
