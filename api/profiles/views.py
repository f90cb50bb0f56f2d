"""The views of profiles: members read, change and erase their own, staff read all."""

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from api.auth.principal import principal_of
from api.auth.sessions import check_session
from api.base_models import parse_uuid
from api.conditional_requests import ConditionalMixin
from api.idempotency import IDEMPOTENCY_KEY
from api.permissions import IsOwnerOrReadOnly
from api.profiles.erasure import erase, is_pending, summary
from api.profiles.filters import ProfileFilters
from api.profiles.models import Profile
from api.profiles.serializers import ErasedSerializer, ListedProfileSerializer, ProfileSerializer
from api.query_parameters import KnownParametersMixin
from api.uploads.attachments import delete_file
from api.uploads.serializers import DownloadURLSerializer
from api.uploads.views import DELETED, DOWNLOAD, NoStoreMixin, UploadURLMixin, deleted, signed_url

ID = OpenApiParameter("id", str, OpenApiParameter.PATH, description="A member's UUID, or `me`.")


class ProfilePermission(IsOwnerOrReadOnly):
    """IsOwnerOrReadOnly; only staff list profiles, and the session is checked before an erasure.

    It is checked for members too, because an erasure cannot be undone.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not super().has_permission(request, view):
            return False
        match getattr(view, "action", None):
            case "list":
                return principal_of(request).is_staff
            case "destroy":
                return check_session(request)
        return True


@extend_schema_view(
    list=extend_schema(summary="List the profiles (staff)"),
    retrieve=extend_schema(summary="Read a profile", parameters=[ID]),
    partial_update=extend_schema(summary="Change your profile", parameters=[ID]),
    upload_url=extend_schema(
        summary="Ask for a ticket to upload the avatar", parameters=[ID, IDEMPOTENCY_KEY]
    ),
)
@extend_schema(tags=["profiles"])
class ProfileViewSet(
    KnownParametersMixin,
    NoStoreMixin,
    ConditionalMixin,
    UploadURLMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.ListModelMixin,
    GenericViewSet[Profile],
):
    upload_field = "avatar"
    has_signed_urls = True
    signed_images = ("avatar",)
    unversioned = ("storage",)
    serializer_class = ProfileSerializer
    permission_classes = (ProfilePermission,)
    http_method_names = (
        "get",
        "post",
        "patch",
        "delete",
        "head",
        "options",
    )  # no PUT: most of it is optional
    filterset_class = ProfileFilters
    ordering_fields = ("display_name", "created_at", "updated_at")
    problems = {
        "list": ["permission_denied"],
        "destroy": ["storage_unavailable", "verification_in_progress"],
        "upload_url": ["quota_exceeded"],
        "avatar": ["file_missing"],
        "original_url": ["file_missing", "storage_unavailable"],
        "download_url": ["file_missing", "storage_unavailable"],
    }
    queryset = Profile.objects.none()

    def get_serializer_class(self) -> type[BaseSerializer[Profile]]:
        return ListedProfileSerializer if self.action == "list" else ProfileSerializer

    def get_queryset(self) -> QuerySet[Profile]:
        return Profile.objects.visible_to(principal_of(self.request))

    def get_object(self) -> Profile:
        """Return the profile. The caller's own is created if it does not exist yet."""
        own = principal_of(self.request).id
        if self.kwargs["pk"] == "me" or parse_uuid(self.kwargs["pk"]) == own:
            return self.unless_changed(Profile.objects.for_member(own))
        profile: Profile = super().get_object()
        return profile

    @extend_schema(summary="Delete the avatar", parameters=[ID], responses=DELETED, filters=False)
    @action(detail=True, methods=["delete"])
    def avatar(self, request: Request, pk: str) -> Response:
        return deleted(delete_file(self.get_object(), "avatar"))

    @extend_schema(
        summary="Get a URL to read the avatar as it was uploaded",
        parameters=[ID, DOWNLOAD],
        responses=DownloadURLSerializer,
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="original-url", query_parameters=["download"])
    def original_url(self, request: Request, pk: str) -> Response:
        return signed_url(request, self.get_object().source)

    @extend_schema(
        summary="Get a URL to read the avatar",
        description="The same as `original-url/`.",
        parameters=[ID, DOWNLOAD],
        responses=DownloadURLSerializer,
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="download-url", query_parameters=["download"])
    def download_url(self, request: Request, pk: str) -> Response:
        return signed_url(request, self.get_object().source)

    @extend_schema(
        operation_id="eraseProfile",
        summary="Erase yourself",
        description="Deletes your profile, documents, files and tickets. Repeat it if it could not finish. "
        "202: the file storage failed, and the remaining files are deleted soon.",
        parameters=[ID],
        responses={200: ErasedSerializer, 202: ErasedSerializer},
    )
    def destroy(self, request: Request, pk: str) -> Response:
        member = self.get_object().pk
        erased = summary(erase(member))
        return Response(ErasedSerializer(erased).data, status=202 if is_pending(member) else 200)
