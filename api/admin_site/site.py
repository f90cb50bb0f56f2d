"""The admin site: logging in, with limits on wrong passwords."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from api.admin_site import login_limits
from api.admin_site.login_limits import DEVICE_LIMIT, Limit
from api.exceptions import Refused

THROTTLED = "throttled"


class LimitedBackend(ModelBackend):
    """Authenticates users of the admin. Raises Refused beyond the limits, before a password is hashed."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **options: Any,
    ) -> User | None:
        if username is None or password is None:
            return None
        limits = login_limits.limits_of_login(request, username)
        login_limits.count_attempt(request, limits)
        user = super().authenticate(request, username, password, **options)
        if user is not None:
            login_limits.take_back(limits)
        return user


class LoginForm(AdminAuthenticationForm):
    def clean(self) -> dict[str, Any]:
        try:
            return super().clean()
        except Refused as refused:
            self.retry_after = refused.retry_after
            raise ValidationError(refused.detail, code=THROTTLED) from None


class VivariumAdminSite(AdminSite):
    login_form = LoginForm

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """Let “View site” lead to the public site."""
        return {**super().each_context(request), "site_url": settings.PUBLIC_SITE_URL}

    def get_urls(self) -> list[Any]:
        """Leave out `r/`: it leads to rows of every model, also for users who may not see them."""
        return [url for url in super().get_urls() if getattr(url, "name", None) != "view_on_site"]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the login form, or log in. 429 beyond the limits, with the message in the form."""
        response: Any = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302 and request.user.is_authenticated:
            login_limits.remember_device(response, request.user.get_username())
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is not None and form.has_error(NON_FIELD_ERRORS, THROTTLED):
            response.status_code, response.headers["Retry-After"] = 429, str(form.retry_after)
        return response

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Change one's own password. The old one is limited, too: the session may be stolen."""
        limits = [Limit("password change", str(request.user.pk), DEVICE_LIMIT)]
        if request.method != "POST":
            return super().password_change(request, extra_context)
        try:
            login_limits.count_attempt(request, limits)
        except Refused as refused:
            messages.error(request, refused.detail)
            return HttpResponseRedirect(request.path)
        response = super().password_change(request, extra_context)
        if response.status_code == 302:
            login_limits.take_back(limits)
        return response
