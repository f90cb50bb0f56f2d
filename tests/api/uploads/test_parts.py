"""A row is deleted together with its parts, and with the files of their own parts."""

from collections.abc import Iterator

import pytest
from django.db import connection, models
from django.test.utils import isolate_apps

from api.base_models import Resource
from api.uploads.attachments import delete_row
from storage.base import store_of
from storage.fields import UploadField


@pytest.fixture
def zoo(transactional_db) -> Iterator[Resource]:
    """A zoo with a house that has a plan, which is a file. Keepers of a house stay without it."""
    with isolate_apps("api"):

        class Zoo(Resource):
            class Meta:
                app_label = "api"

        class House(Resource):
            zoo = models.ForeignKey(Zoo, models.CASCADE)
            beside = models.ForeignKey("self", models.CASCADE, null=True)

            class Meta:
                app_label = "api"

        class Plan(Resource):
            house = models.ForeignKey(House, models.CASCADE)
            file = UploadField(storage="documents", folder=lambda plan: "plans", blank=True)

            class Meta:
                app_label = "api"

        class Keeper(Resource):
            house = models.ForeignKey(House, models.SET_NULL, null=True)
            photo = UploadField(storage="documents", folder=lambda keeper: "keepers", blank=True)

            class Meta:
                app_label = "api"

    made = (Zoo, House, Plan, Keeper)
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    zoo = Zoo.objects.create()
    for name in ("first", "second"):
        house = House.objects.create(zoo=zoo)
        Plan.objects.create(house=house, file=put(f"plans/{name}"))
        Keeper.objects.create(house=house, photo=put(f"keepers/{name}"))
    yield zoo
    with connection.schema_editor() as editor:
        for model in reversed(made):
            editor.delete_model(model)


def put(key: str) -> str:
    store_of("documents").put(key, [b"%PDF-1.4"], content_type="application/pdf", cache_control="no-cache")
    return key


def test_the_files_of_the_parts_of_parts_go_too(zoo: Resource):
    assert delete_row(zoo)

    assert [info.key for info in store_of("documents").walk()] == ["keepers/first", "keepers/second"]
