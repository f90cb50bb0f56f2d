"""Handlers that report the status and the version of the server."""

from django.http import HttpRequest, HttpResponse

VERSION = "local, as Storage v1.70.6"


def status(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Content-Type": "text/plain"})


def version(request: HttpRequest) -> HttpResponse:
    return HttpResponse(VERSION, headers={"Content-Type": "text/plain; charset=utf-8"})
