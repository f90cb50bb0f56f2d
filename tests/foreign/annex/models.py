"""Another app with a model of the same name."""

from django.db import models


class Guide(models.Model):
    plan = models.FileField(upload_to="plans")
