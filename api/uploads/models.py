"""The ticket: a promise about one object, and what became of it."""

from datetime import datetime
from typing import NotRequired, Self, TypedDict

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource
from storage.fields import UploadField


class Declared(TypedDict):
    """What the client said of its file before it sent it. `size` in bytes, `sha256` in hex."""

    filename: str
    content_type: str
    size: int
    sha256: str | None


class Problem(TypedDict):
    """Why a ticket was refused. `detail` is in English, with a place for each of `values`."""

    code: str
    detail: str
    values: NotRequired[dict[str, int | str]]


class Uploads(models.QuerySet["Upload"]):
    def visible_to(self, principal: Principal) -> Self:
        return self if principal.is_staff else self.filter(owner=principal.id)

    def of(self, resource: models.Model) -> Self:
        """The tickets of this resource, whichever field they are for."""
        kind = ContentType.objects.get_for_model(resource)
        return self.filter(content_type=kind, object_id=resource.pk)

    def pending(self) -> Self:
        return self.filter(state=Upload.State.PENDING)

    def abandoned(self, now: datetime) -> Self:
        """Somebody was verifying these, and their lease has run out."""
        return self.filter(state=Upload.State.VERIFYING, lease_expires_at__lt=now)

    def claimed_as(self, upload: "Upload") -> Self:
        """This ticket, if the claim under which it was read still holds."""
        return self.filter(pk=upload.pk, state=Upload.State.VERIFYING, claim_id=upload.claim_id)


class Upload(Resource):
    RESOURCE_GONE: Problem = {"code": "resource_gone", "detail": ""}

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        VERIFYING = "verifying", _("verifying")
        COMPLETED = "completed", _("completed")
        REJECTED = "rejected", _("rejected")
        EXPIRED = "expired", _("expired")
        CANCELLED = "cancelled", _("cancelled")

    owner = models.UUIDField(
        _("owner"), help_text=_("Who asked for it: a member, or who stands for a user of the admin.")
    )
    state = models.CharField(_("state"), max_length=20, choices=State, default=State.PENDING)
    expires_at = models.DateTimeField(_("expires at"))

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.UUIDField()
    resource = GenericForeignKey("content_type", "object_id")
    field_name = models.CharField(max_length=100)

    declared = models.JSONField(help_text="{filename, content_type, size, sha256 or null}")
    found = models.JSONField(
        null=True, help_text="{content_type, size, sha256 or null}, of the object itself"
    )
    problem = models.JSONField(null=True, help_text="{code, detail}")

    path = models.CharField(max_length=1024, unique=True, help_text="Where the client sends it.")
    earlier_keys = models.JSONField(
        default=list, help_text="Where it may be, after `path`, of former claims."
    )
    final_key = models.CharField(max_length=1024, blank=True, help_text="Where it is verified, and served.")
    claim_id = models.UUIDField(null=True, help_text="Who verifies it; every write of theirs asks for it.")
    lease_expires_at = models.DateTimeField(null=True, help_text="From then on others may take it over.")

    objects = Uploads.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("ticket"), _("tickets")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "-id"], name="upload_of_owner"),
            models.Index(fields=["content_type", "object_id"], name="upload_of_resource"),
            models.Index(fields=["state", "expires_at"], name="upload_to_sweep"),
        ]

    def __str__(self) -> str:
        return f"{self.declared['filename']} ({self.get_state_display()})"

    @property
    def is_settled(self) -> bool:
        return self.state not in (self.State.PENDING, self.State.VERIFYING)

    @property
    def shown_state(self) -> str:
        """Expired once its time is over; yet the row stays pending, so that a late file is not lost."""
        if self.state == self.State.PENDING and self.expires_at <= timezone.now():
            return self.State.EXPIRED
        return self.state

    @property
    def shown_problem(self) -> Problem | None:
        """The problem with its detail in the language of the request, and the values in their places."""
        if not self.problem:
            return None
        problem: Problem = self.problem
        detail, values = gettext(problem["detail"]), problem.get("values")
        return {"code": problem["code"], "detail": detail % values if values else detail}

    def chosen_keys(self) -> list[str]:
        """Every key in the field's bucket that was ever chosen for it, the latest last."""
        return [*self.earlier_keys, self.final_key] if self.final_key else self.earlier_keys

    def model(self) -> type[models.Model]:
        """The model of the resource."""
        model = ContentType.objects.get_for_id(self.content_type_id).model_class()
        assert model is not None
        return model

    def field(self) -> UploadField:
        """The model field that the file is for, which has its rules and its store."""
        field = self.model()._meta.get_field(self.field_name)
        assert isinstance(field, UploadField)
        return field
