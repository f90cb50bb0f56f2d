"""Pages for people who open an address of the API in a browser: `/`, `/api/`, and that of a QR code."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.csrf import csrf_exempt

from api.catalog.gallery_serializers import published
from api.catalog.models import Species
from api.errors import not_found, problem
from api.urls import router
from backend.middleware import content_security_policy

EXAMPLE_APP = "http://localhost:5173"  # where `make spa` serves it


@csrf_exempt
def start(request: HttpRequest) -> HttpResponse:
    """The view of `/` and `/api/`: where everything is, as a page for browsers, else as JSON."""
    if refusal := _refusal(request):
        return refusal
    links = _links(request)
    if not _wants_page(request):
        response: HttpResponse = JsonResponse(links)
        patch_vary_headers(response, ["Accept"])
        return response
    example_app = EXAMPLE_APP if settings.DEBUG else ""
    return _page(request, "pages/start.html", {"links": links, "example_app": example_app})


@csrf_exempt
def species(request: HttpRequest, slug: str) -> HttpResponse:
    """The view that QR codes lead to as long as PUBLIC_SITE_URL is this server. Only with DEBUG."""
    if not settings.DEBUG:
        return not_found(request)
    if refusal := _refusal(request):
        return refusal
    found = Species.objects.filter(published=True, slug=slug).with_image().first()
    if not found and not _wants_page(request):
        return problem("not_found")
    image = published(found.image) if found and found.image else None
    context = {"species": found, "image": image, "srcset": image and _srcset(image)}
    return _page(request, "pages/species.html", context, status=200 if found else 404)


def _srcset(image: dict[str, Any]) -> str:
    webp = [each for each in image["renditions"] if each["content_type"] == "image/webp"]
    return ", ".join(f"{each['url']} {each['width']}w" for each in webp)


def _links(request: HttpRequest) -> dict[str, Any]:
    def url(path: str) -> str:
        return request.build_absolute_uri(path)

    base = reverse("start")
    return {
        "name": "Vivarium",
        "version": settings.SPECTACULAR_SETTINGS["VERSION"],
        "docs": url(reverse("docs")),
        "reference": url(reverse("redoc")),
        "schema": url(reverse("schema")),
        "admin": url(reverse("admin:index")),
        "api": {name: url(f"{base}api/v1/{name}/") for name in router.lists()},
        "health": {"live": url(f"{base}livez"), "ready": url(f"{base}readyz")},
    }


def _refusal(request: HttpRequest) -> HttpResponse | None:
    if request.method in ("GET", "HEAD"):
        return None
    return problem("method_not_allowed", headers={"Allow": "GET, HEAD"})


def _wants_page(request: HttpRequest) -> bool:
    """Return True for a browser. Programs, which accept everything, get JSON."""
    return request.get_preferred_type(["application/json", "text/html"]) == "text/html"


def _page(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    response = render(request, template, context, status=status)
    response.headers["Content-Security-Policy"] = content_security_policy()
    response.headers["Cache-Control"] = "no-cache"
    patch_vary_headers(response, ["Accept", "Accept-Language"])
    return response
