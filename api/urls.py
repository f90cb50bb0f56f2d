"""The URLs of /api/v1/."""

from django.urls import path

from api.catalog.views import EducationalServiceViewSet, ExhibitionViewSet, SpeciesViewSet
from api.documents.views import DocumentViewSet
from api.profiles.views import ProfileViewSet
from api.routers import ResourceRouter
from api.uploads.upload_rules import upload_rules_view
from api.uploads.views import UploadViewSet
from api.uploads.webhooks import StorageWebhookView

router = ResourceRouter()
router.register("species", SpeciesViewSet)
router.register("exhibitions", ExhibitionViewSet)
router.register("educational-services", EducationalServiceViewSet)
router.register("documents", DocumentViewSet)
router.register("profiles", ProfileViewSet)
router.register("uploads", UploadViewSet)

urlpatterns = [
    *router.urls,
    path("upload-rules/", upload_rules_view(router.upload_fields()).as_view()),
    path("webhooks/storage/", StorageWebhookView.as_view()),
]
