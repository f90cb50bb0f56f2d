"""What every model has: an id that sorts by time, and the times of its making and last change."""

from django.db import models
from uuid_utils.compat import uuid7


class Resource(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
