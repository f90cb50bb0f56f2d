"""The yardstick: what a careful team writes with Django REST Framework, PyJWT and the SDK of Supabase.

`python -m bench.yardstick` makes its tables and 100 rows, and prints the id of one. It does the same work as
Vivarium: find the row that the caller may see, sign, and insert a row for an upload. Each URL asks Storage.
Read by `bench/requests.py`, which sets the environment.
"""

import os
import uuid
from functools import cache
from types import SimpleNamespace
from typing import Any

import environ
from django.conf import settings

SECRET = os.environ["SUPABASE_JWT_SECRET"]
settings.configure(
    DEBUG=False,
    SECRET_KEY="x" * 50,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["django.contrib.contenttypes", "rest_framework"],
    USE_TZ=True,
    DATABASES={"default": {**environ.Env.db_url_config(os.environ["DATABASE_URL"]), "CONN_MAX_AGE": 60}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    CACHES={
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": os.environ["CACHE_URL"],
        }
    },
    REST_FRAMEWORK={
        "UNAUTHENTICATED_USER": None,
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
        "PAGE_SIZE": 25,
        "DEFAULT_THROTTLE_RATES": {"user": "9999999/min"},
    },
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "corsheaders.middleware.CorsMiddleware",
        "django.middleware.common.CommonMiddleware",
    ],
    CORS_ALLOWED_ORIGINS=["https://app.example"],
)

import django

django.setup()

import httpx
import jwt
from django.core.wsgi import get_wsgi_application
from django.db import connection, models
from django.db.models import Q
from rest_framework import serializers
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.throttling import UserRateThrottle
from rest_framework.viewsets import ModelViewSet

CLAIMS: Any = {"require": ["exp", "sub", "aud"]}


class Document(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    owner = models.UUIDField(db_index=True)
    visibility = models.CharField(max_length=20, default="private")
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    category = models.CharField(max_length=50, blank=True)
    file = models.CharField(max_length=1024, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        app_label, db_table = "yardstick", "yardstick_document"
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.title


class Ticket(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    document = models.ForeignKey(Document, on_delete=models.CASCADE)
    path = models.CharField(max_length=1024)
    declared = models.JSONField()
    state = models.CharField(max_length=20, default="pending")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label, db_table = "yardstick", "yardstick_ticket"

    def __str__(self) -> str:
        return self.path


class Authentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, Any]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, SECRET, ["HS256"], audience="authenticated", options=CLAIMS)
        except jwt.PyJWTError as error:
            raise AuthenticationFailed(str(error)) from error
        return SimpleNamespace(is_authenticated=True, id=claims["sub"], pk=claims["sub"]), claims

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class DocumentSerializer(serializers.ModelSerializer[Document]):
    class Meta:
        model = Document
        fields = "__all__"


class AnnouncedSerializer(serializers.Serializer[Any]):
    filename = serializers.CharField(max_length=255)
    content_type = serializers.ChoiceField(["application/pdf", "image/png"])
    size = serializers.IntegerField(min_value=1, max_value=50 * 2**20)


@cache
def storage() -> Any:
    from storage3 import SyncStorageClient  # noqa: PLC0415  (the yardstick loads it on first use, as we do)

    key = os.environ["SUPABASE_SECRET_KEY"]
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    http = httpx.Client(http2=False)
    return SyncStorageClient(f"{os.environ['SUPABASE_URL']}/storage/v1/", headers, http_client=http)


class DocumentViewSet(ModelViewSet[Document]):
    authentication_classes = [Authentication]
    permission_classes = [IsAuthenticated]
    serializer_class = DocumentSerializer

    def get_queryset(self) -> models.QuerySet[Document]:
        return Document._default_manager.filter(Q(owner=self.request.user.id) | Q(visibility="authenticated"))

    @action(detail=True, url_path="download-url")
    def download_url(self, request: Request, pk: str) -> Response:
        signed = storage().from_("documents").create_signed_url(self.get_object().file, 300)
        return Response({"url": signed["signedURL"]})

    @action(detail=True, methods=["post"], url_path="upload-url", throttle_classes=[UserRateThrottle])
    def upload_url(self, request: Request, pk: str) -> Response:
        document = self.get_object()
        announced = AnnouncedSerializer(data=request.data)
        announced.is_valid(raise_exception=True)
        path = f"{request.user.pk}/{uuid.uuid4().hex}.pdf"
        signed = storage().from_("documents").create_signed_upload_url(path)
        ticket = Ticket._default_manager.create(
            document=document, path=path, declared=announced.validated_data
        )
        return Response(
            {"id": ticket.id, "path": path, "url": signed["signed_url"], "token": signed["token"]}, status=201
        )


router = DefaultRouter()
router.register("documents", DocumentViewSet, "document")
urlpatterns = router.urls

application = get_wsgi_application()


def main() -> None:
    with connection.schema_editor() as editor:
        for model in (Document, Ticket):
            editor.create_model(model)
    file, owner = os.environ["OBJECT"], os.environ["OWNER"]
    rows = Document._default_manager.bulk_create(
        [Document(owner=owner, title=f"Document {number}", file=file) for number in range(100)]
    )
    print(rows[0].id)


if __name__ == "__main__":
    main()
