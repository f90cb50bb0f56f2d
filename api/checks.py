"""What can be wrong with the configuration of the API, told at start-up with the cure."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from api.throttles import Completions, Tickets


@register()
def check_throttles(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    for throttle in (Tickets, Completions):
        rate = throttle.THROTTLE_RATES[throttle.scope]
        try:
            throttle()
        except (ValueError, KeyError):
            problems.append(
                Error(
                    f"THROTTLE_{throttle.scope.upper()}={rate!r} is no rate.",
                    hint="Write a number and a period: 300/min, 10/sec, 5000/day.",
                    id="api.E001",
                )
            )
    return problems


@register(deploy=True)
def check_cache(app_configs: Sequence[Any] | None, **kwargs: Any) -> list[CheckMessage]:
    if "locmem" not in settings.CACHES["default"]["BACKEND"]:
        return []
    return [
        Warning(
            "The cache is in-process: each worker process counts throttles for itself.",
            hint="Set CACHE_URL=redis://… when more than one process serves.",
            id="api.W001",
        )
    ]
