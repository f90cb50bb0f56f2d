"""Mounted at /storage/v1/ with STORAGE=local only."""

from django.urls import path, re_path

from storage.server import views

urlpatterns = [
    path("object/upload/sign/<str:bucket>/<path:key>", views.signed_upload),
    path("object/sign/<str:bucket>/<path:key>", views.signed_download),
    path("object/public/<str:bucket>/<path:key>", views.public_download),
    re_path("", views.nothing),
]
