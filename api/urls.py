"""The routes of /api/v1/."""

from rest_framework.routers import SimpleRouter

from api.documents.views import DocumentViewSet
from api.uploads.views import UploadViewSet

router = SimpleRouter()
router.register("documents", DocumentViewSet)
router.register("uploads", UploadViewSet)

urlpatterns = router.urls
