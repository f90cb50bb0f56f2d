"""The URLs of /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from api.catalog.gallery_views import (
    EducationalServicePictureViewSet,
    ExhibitionPictureViewSet,
    SpeciesPictureViewSet,
)
from api.catalog.views import EducationalServiceViewSet, ExhibitionViewSet, SpeciesViewSet
from api.documents.views import DocumentViewSet
from api.profiles.views import ProfileViewSet
from api.uploads.views import UploadViewSet
from api.uploads.webhooks import StorageWebhookView

router = SimpleRouter()
router.register("species", SpeciesViewSet)
router.register("exhibitions", ExhibitionViewSet)
router.register("educational-services", EducationalServiceViewSet)
for prefix, view in {
    "species": SpeciesPictureViewSet,
    "exhibitions": ExhibitionPictureViewSet,
    "educational-services": EducationalServicePictureViewSet,
}.items():
    router.register(rf"{prefix}/(?P<slug>[-a-zA-Z0-9_]+)/pictures", view, f"{view.entries.route}-picture")
router.register("documents", DocumentViewSet)
router.register("profiles", ProfileViewSet)
router.register("uploads", UploadViewSet)

urlpatterns = [*router.urls, path("webhooks/storage/", StorageWebhookView.as_view())]
