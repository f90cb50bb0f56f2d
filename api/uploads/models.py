"""The Upload model: a ticket for one file, and the result of its verification."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any, NotRequired, Self, TypedDict
from uuid import UUID

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from api.auth.principal import Principal
from api.base_models import Resource, ordering_indexes
from api.exceptions import Refused
from api.pictures.models import PictureModel, picture_models
from storage.fields import StoredFile, UploadField


class Declared(TypedDict):
    """What the client declared about the file before sending it. `size` in bytes, `sha256` in hex."""

    filename: str
    content_type: str
    size: int
    sha256: str | None


class Problem(TypedDict):
    """Why an upload failed. `detail` is in English, with a %-placeholder for each of `values`."""

    code: str
    detail: str
    values: NotRequired[dict[str, int | str]]


class UploadQuerySet(models.QuerySet["Upload"]):
    def visible_to(self, principal: Principal) -> Self:
        """Staff see all tickets, members their own."""
        return self if principal.is_staff else self.filter(owner=principal.id)

    def for_resource(self, resource: models.Model) -> Self:
        """Return the tickets for any field of this resource."""
        content_type = ContentType.objects.get_for_model(resource)
        return self.filter(content_type=content_type, object_id=resource.pk)

    def for_address(self, model: type[Resource], lookup: dict[str, str | UUID]) -> Self:
        """Return the tickets for the row of this model that the lookup finds, without another query."""
        rows = model._base_manager.filter(**lookup).values("pk")
        return self.filter(content_type=ContentType.objects.get_for_model(model), object_id__in=rows)

    def shown_as(self, state: str) -> Self:
        """Return the tickets whose `shown_state` is this one."""
        pending, expired = Upload.State.PENDING, Upload.State.EXPIRED
        is_past = Q(state=pending, expires_at__lte=timezone.now())
        if state == expired:
            return self.filter(is_past | Q(state=expired))
        return self.filter(~is_past if state == pending else Q(), state=state)

    def unsettled(self) -> Self:
        """Return the tickets whose file may still be recorded, also those that have expired."""
        return self.exclude(state__in=Upload.SETTLED)

    def with_processing(self) -> Self:
        """Annotate `has_renditions_due`, so that `is_processing` needs no query."""
        due = [
            Exists(_with_renditions_due(model).filter(**{model.picture_field: OuterRef("final_key")}))
            for model in picture_models()
        ]
        return self.annotate(has_renditions_due=reduce(or_, due))

    def cancellable(self) -> Self:
        """Return the unsettled tickets that no caller is verifying."""
        return self.unsettled().exclude(state=Upload.State.VERIFYING)

    def purgeable(self) -> Self:
        """Return the tickets that are settled, or marked as expired."""
        return self.filter(state__in=[*Upload.SETTLED, Upload.State.EXPIRED])

    def open(self) -> Self:
        """Return the tickets with which a file may still be sent, or whose file is verified or held."""
        usable = Q(state=Upload.State.PENDING, expires_at__gt=timezone.now())
        return self.filter(usable | Q(state__in=[Upload.State.VERIFYING, Upload.State.HELD]))

    def with_expired_lease(self, now: datetime) -> Self:
        """Return the claimed tickets whose lease has expired."""
        return self.filter(state=Upload.State.VERIFYING, lease_expires_at__lt=now)

    def with_claim_of(self, upload: "Upload") -> Self:
        """Return this ticket, if its claim is still the one that `upload` has in memory."""
        return self.filter(pk=upload.pk, state=Upload.State.VERIFYING, claim_id=upload.claim_id)


class Upload(Resource):
    """A ticket. Its states and transitions are those of `api.uploads.lifecycle`."""

    RESOURCE_GONE: Problem = {"code": "resource_gone", "detail": ""}

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        VERIFYING = "verifying", _("verifying")
        HELD = "held", _("held")
        COMPLETED = "completed", _("completed")
        REJECTED = "rejected", _("rejected")
        EXPIRED = "expired", _("expired")
        CANCELLED = "cancelled", _("cancelled")

    SETTLED = (State.COMPLETED, State.REJECTED, State.CANCELLED)

    owner = models.UUIDField(
        _("owner"), help_text=_("The member who asked for it, or an id made for a user of the admin.")
    )
    state = models.CharField(_("state"), max_length=20, choices=State, default=State.PENDING)
    expires_at = models.DateTimeField(_("expires at"))

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.UUIDField()
    resource = GenericForeignKey("content_type", "object_id")
    field_name = models.CharField(max_length=100)

    declared = models.JSONField(help_text="{filename, content_type, size, sha256 or null}")
    found = models.JSONField(
        null=True, help_text="{content_type, size, sha256 or null}, as found by verification"
    )
    problem = models.JSONField(null=True, help_text="{code, detail, values}")

    path = models.CharField(max_length=1024, unique=True, help_text="The key that the client sends it to.")
    earlier_keys = models.JSONField(default=list, help_text="The final keys that earlier claims chose.")
    final_key = models.CharField(max_length=1024, blank=True, help_text="Where it is verified and served.")
    held_key = models.CharField(
        max_length=1024, blank=True, db_default="", help_text="Where a held file is kept."
    )
    is_released = models.BooleanField(
        default=False, db_default=False, help_text="It was released: it is not scanned again."
    )
    creates_resource = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The resource was created together with the ticket, for this file.",
    )
    claim_id = models.UUIDField(null=True, help_text="The id of the current claim. Every write checks it.")
    lease_expires_at = models.DateTimeField(null=True, help_text="When another claim may take over.")

    objects = UploadQuerySet.as_manager()
    has_renditions_due: bool | None = None  # annotated by `with_processing`

    class Meta:
        verbose_name, verbose_name_plural = _("upload"), _("uploads")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "-id"], name="upload_of_owner"),
            models.Index(fields=["content_type", "object_id"], name="upload_of_resource"),
            models.Index(fields=["state", "expires_at"], name="upload_to_sweep"),
            *ordering_indexes("upload", "created_at", "updated_at", "expires_at"),
        ]

    def __str__(self) -> str:
        return f"{self.declared['filename']} ({self.get_state_display()})"

    @property
    def is_settled(self) -> bool:
        """True in a final state: completed, rejected or cancelled. A file that arrives late is completed."""
        return self.state in self.SETTLED

    @property
    def shown_state(self) -> str:
        """The state for clients: a pending ticket past `expires_at` is expired.

        In the database it is pending until the sweep marks it. A file that arrives late is completed.
        """
        if self.state == self.State.PENDING and self.expires_at <= timezone.now():
            return self.State.EXPIRED
        return self.state

    @property
    def shown_problem(self) -> Problem | None:
        """The problem, with `values` filled into the translated `detail`."""
        if not self.problem:
            return None
        problem: Problem = self.problem
        detail, values = gettext(problem["detail"]), problem.get("values")
        return {"code": problem["code"], "detail": detail % values if values else detail}

    def refusal(self) -> Refused:
        """Return why the file of this ticket, which is not completed or must not be, is not recorded now."""
        match self.shown_state:
            case self.State.PENDING:
                return Refused("object_missing")
            case self.State.VERIFYING:
                return Refused("verification_in_progress", retry_after=1)
            case self.State.EXPIRED:
                return Refused("ticket_expired")
            case self.State.HELD:
                return Refused("held")
            case self.State.COMPLETED:
                return Refused("ticket_completed")
        problem = self.shown_problem or {"code": "ticket_cancelled", "detail": ""}
        return Refused(problem["code"], problem["detail"])

    def chosen_keys(self) -> list[str]:
        """Return every final key that was chosen for this ticket, the latest last."""
        return [*self.earlier_keys, self.final_key] if self.final_key else self.earlier_keys

    def model(self) -> type[Resource]:
        """Return the model of the resource."""
        model = ContentType.objects.get_for_id(self.content_type_id).model_class()
        assert model is not None
        assert issubclass(model, Resource)
        return model

    def read_resource(self) -> Resource | None:
        """Read the resource from the database, also if its manager hides it. None if it was deleted."""
        return self.model()._base_manager.filter(pk=self.object_id).first()

    def read_file(self) -> StoredFile | None:
        """Return the file that the upload replaces, as it is now; None if the resource was deleted."""
        resource = self.read_resource()
        return resource.upload_file(self.field_name, self.pk) if resource else None

    def field(self) -> UploadField:
        """Return the model field that the file is for. It has the rules of the file and its storage."""
        return self.model().upload_field(self.field_name)

    @property
    def is_processing(self) -> bool:
        """True while the renditions of the uploaded picture are still to be made."""
        model = self.field().model
        if self.state != self.State.COMPLETED or not issubclass(model, PictureModel):
            return False
        if self.has_renditions_due is not None:
            return self.has_renditions_due
        return _with_renditions_due(model).filter(**{model.picture_field: self.final_key}).exists()


def _with_renditions_due(model: type[PictureModel]) -> models.QuerySet[Any]:
    return model._base_manager.exclude(renditions_due_at=None)


class RemovalQuerySet(models.QuerySet["Removal"]):
    def for_resource(self, resource_id: UUID) -> Self:
        """Return the objects that a change of this row has freed."""
        return self.for_resources([resource_id])

    def for_resources(self, ids: Iterable[UUID]) -> Self:
        """Return the objects that changes of these rows have freed."""
        return self.filter(resource_id__in=list(ids), is_reservation=False)

    def due(self, now: datetime, *, retry_all: bool = False) -> Self:
        """Return what is due. `retry_all`: also what waits because the storage has failed."""
        is_due = models.Q(due_at__lte=now)
        return self.filter(is_due | models.Q(attempts__gt=0) if retry_all else is_due)


class Removal(models.Model):
    """An object that must be deleted from storage. The row is deleted when the object is gone.

    A reservation is a key under which an object is about to be created. The transaction that records the key
    on its resource deletes the reservation. If the process dies before that, the object is removed.
    """

    bucket = models.CharField(_("bucket"), max_length=100)
    key = models.CharField(_("key"), max_length=1024)
    resource_id = models.UUIDField(
        null=True,
        help_text="The row, ticket or member whose object it was. `revoke-urls/` waits for its removals.",
    )
    is_reservation = models.BooleanField(default=False)
    due_at = models.DateTimeField(_("due at"))  # when to delete the object, or to try again
    check_until = models.DateTimeField(
        null=True,
        help_text="Until then a delayed request may still create the object: it is deleted once more then.",
    )
    attempts = models.PositiveIntegerField(_("failed attempts"), default=0)
    last_error = models.TextField(_("last error"), blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = RemovalQuerySet.as_manager()

    class Meta:
        verbose_name, verbose_name_plural = _("pending removal"), _("pending removals")
        ordering = ["due_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["bucket", "key", "resource_id"], name="removal_of_object")
        ]
        indexes = [
            models.Index(fields=["due_at", "id"], name="removal_due"),
            models.Index(fields=["resource_id"], name="removal_of_resource"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}"


class WebhookMessageQuerySet(models.QuerySet["WebhookMessage"]):
    def expired(self) -> Self:
        """Return the messages that are too old to be accepted again."""
        return self.filter(received_at__lt=timezone.now() - WebhookMessage.RETENTION)


class WebhookMessage(models.Model):
    """A message of the storage webhook that was received. The primary key refuses it a second time."""

    #: A message may be dated up to five minutes ahead, and is accepted until five minutes after its date.
    RETENTION = timedelta(hours=1)

    id = models.CharField(primary_key=True, max_length=255)
    received_at = models.DateTimeField(default=timezone.now, db_index=True)

    objects = WebhookMessageQuerySet.as_manager()

    def __str__(self) -> str:
        return self.id
