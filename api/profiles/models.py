"""The member's own record. Supabase keeps the account; this keeps what Vivarium adds to it."""

from django.db import models

from api.resources import Resource


class Profile(Resource):
    """A member; the primary key is the `sub` of their tokens. Made the first time one is needed."""

    id = models.UUIDField(primary_key=True, editable=False)
    display_name = models.CharField(max_length=100, blank=True)
    bio = models.TextField(max_length=2000, blank=True)
    language = models.CharField(max_length=10, blank=True)

    def __str__(self) -> str:
        return self.display_name or str(self.pk)
