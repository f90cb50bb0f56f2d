"""When the sweep last ran, in the database: the sweep may be a program of its own."""

from django.db import models
from django.utils import timezone


class LastSweep(models.Model):
    """The last finished run of `manage.py sweep`. There is one row at most."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    finished_at = models.DateTimeField()
    seconds = models.FloatField(help_text="How long it took.")
    failed = models.PositiveIntegerField(help_text="How many tasks failed.")

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_last_sweep")]

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M:%S}"


def record(seconds: float, failed: int) -> None:
    """Record a run that has just finished, in one statement: several may finish at once."""
    last = LastSweep(finished_at=timezone.now(), seconds=seconds, failed=failed)
    columns = ["finished_at", "seconds", "failed"]
    LastSweep.objects.bulk_create([last], update_conflicts=True, unique_fields=["id"], update_fields=columns)


def last_sweep() -> LastSweep | None:
    """Return the last run, None if there was none."""
    return LastSweep.objects.filter(id=1).first()
