"""The URLs of /api/v1/."""

from django.urls import path
from rest_framework.routers import SimpleRouter

from api.catalog.gallery_views import (
    EducationalServicePictureViewSet,
    ExhibitionPictureViewSet,
    SpeciesPictureViewSet,
)
from api.catalog.models import UPLOADS, EducationalService, Exhibition, Species
from api.catalog.views import EducationalServiceViewSet, ExhibitionViewSet, SpeciesViewSet
from api.documents.models import Document
from api.documents.views import DocumentViewSet
from api.profiles.models import Profile
from api.profiles.views import ProfileViewSet
from api.uploads.upload_rules import Fields, upload_rules_view
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

#: By the name of a route: the model of its rows, and the fields that tickets are for.
UPLOAD_FIELDS: Fields = {
    "species": dict.fromkeys(UPLOADS, Species),
    "exhibitions": dict.fromkeys(UPLOADS, Exhibition),
    "educational-services": dict.fromkeys(UPLOADS, EducationalService),
    "documents": {"file": Document},
    "profiles": {"avatar": Profile},
}

urlpatterns = [
    *router.urls,
    path("upload-rules/", upload_rules_view(UPLOAD_FIELDS).as_view()),
    path("webhooks/storage/", StorageWebhookView.as_view()),
]
