"""Renditions: made within the completing call if that is quick, else by the sweep, and never in vain."""

from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from itertools import count
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, models
from django.utils import timezone
from PIL import Image

from api.models import Profile, Removal, Species, SpeciesPicture
from api.pictures.models import CLAIMED_FOR
from api.uploads import renderer, renditions, verification
from api.uploads.renderer import Rendered, Renderer
from storage.base import store_of
from storage.errors import StorageUnavailable
from storage.local import LocalStorage
from tests.api.catalog.test_catalog import entry, objects, picture, stored, ticket_for
from tests.api.profiles.test_profiles import PNG, avatar_ticket
from tests.support import child_functions
from tests.support.cast import Caller, down, send
from tests.support.child_functions import called
from tests.support.storage_calls import Fault, StorageCalls

WITHOUT = {"url": None, "width": None, "height": None, "renditions": [], "placeholder": None}


@pytest.fixture
def species(db) -> str:
    """The path of a published species."""
    return f"species/{entry('species', published=True).slug}/"


@pytest.fixture
def ticket(species: str, curator: Caller) -> dict[str, Any]:
    """A ticket for its image, whose file is sent."""
    ticket = ticket_for(curator, species, picture(), "image/jpeg")
    send(ticket, picture())
    return ticket


@pytest.fixture
def calls(monkeypatch) -> StorageCalls:
    return StorageCalls(LocalStorage, monkeypatch)


def run_instead(patch: pytest.MonkeyPatch, function: Callable[..., Any]) -> None:
    """Let child processes run another function than the one that renders."""
    patch.setattr(renderer, "RENDER", called(function))


def row() -> SpeciesPicture:
    return SpeciesPicture.objects.get()


def sweep(passed: timedelta = timedelta(0)) -> None:
    """Sweep, when this time has passed since the last attempt."""
    due = SpeciesPicture.objects.exclude(renditions_due_at=None)
    due.update(renditions_due_at=models.F("renditions_due_at") - passed)
    call_command("sweep")


def is_made() -> bool:
    """Return True if everything is published, and nothing else is in storage."""
    found = row()
    published = {each.file.key for each in found.renditions()}
    assert not found.is_processing
    assert not Removal.objects.filter(is_reservation=True).exists()
    assert objects("originals") == [found.original.key]
    return len(published) == 2 and set(objects("species")) == published


def waits(species: str, curator: Caller) -> bool:
    """Return True if the picture is recorded, and nothing of it is published yet."""
    shown = curator.get(species).json()
    [listed] = curator.get(f"{species}pictures/").json()["results"]
    assert shown["image_url"] is None
    assert shown["image"] == {**WITHOUT, "alt": {"en": "", "es": ""}, "credit": ""}
    assert objects("species") == []
    assert stored("originals", row().original.key) == picture()
    return listed["processing"] and row().is_processing


# --- When they are made -----------------------------------------------------------------------------------


def test_they_are_made_within_the_call(species: str, ticket: dict, curator: Caller):
    answer = curator.complete(ticket)

    assert (answer.json()["state"], answer.json()["processing"]) == ("completed", False)
    assert curator.get(species).json()["image_url"]
    assert is_made()


def test_what_takes_too_long_for_the_call_is_made_by_the_sweep(
    species: str, ticket: dict, curator: Caller, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(renditions, "SECONDS_IN_REQUEST", 0.2)
        run_instead(patch, child_functions.take_processor_time)
        answer = curator.complete(ticket)

    assert (answer.status_code, answer.json()["processing"]) == (200, True)
    assert waits(species, curator)
    assert (row().rendition_attempts, row().rendition_error) == (0, "")  # it was no failure
    assert curator.get(f"uploads/{ticket['id']}/").json()["processing"] is True
    sweep()
    assert is_made()
    assert curator.get(f"uploads/{ticket['id']}/").json()["processing"] is False
    assert curator.complete(ticket).json()["processing"] is False


def test_without_a_free_process_the_call_leaves_them_to_the_sweep(
    species: str, ticket: dict, curator: Caller, monkeypatch
):
    verify = verification.verify

    def and_then_others_take_all(*args: Any) -> Any:
        found = verify(*args)
        for _ in range(2):
            held.append(verification.CHILDREN.reserve(lambda: None))
            held[-1].__enter__()
        return found

    held: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(renditions, "SECONDS_IN_REQUEST", 0.2)
        patch.setattr(verification, "verify", and_then_others_take_all)
        answer = curator.complete(ticket)
    for other in held:
        other.__exit__(None, None, None)

    assert (answer.status_code, answer.json()["processing"]) == (200, True)
    assert waits(species, curator)
    sweep()
    assert is_made()


def test_an_avatar_waits_as_well(alice: Caller, monkeypatch):
    ticket = avatar_ticket(alice)
    send(ticket, PNG)
    with monkeypatch.context() as patch:
        run_instead(patch, child_functions.crash)
        assert alice.complete(ticket).json()["processing"] is True

    avatar = alice.get("profiles/me/").json()["avatar"]
    assert {name: avatar[name] for name in WITHOUT} == WITHOUT
    assert (avatar["size"], avatar["expires_at"]) == (len(PNG), None)
    assert alice.get("profiles/me/original-url/").status_code == 200
    Profile.objects.update(renditions_due_at=timezone.now())
    call_command("sweep")
    assert alice.get("profiles/me/").json()["avatar"]["url"]


# --- What is stored ---------------------------------------------------------------------------------------


def test_what_is_public_never_changes_and_what_is_private_may(ticket: dict, curator: Caller, alice: Caller):
    curator.complete(ticket)
    avatar = avatar_ticket(alice)
    send(avatar, PNG)
    alice.complete(avatar)

    for bucket, cache_control in (
        ("species", "max-age=31536000, immutable"),
        ("user-profiles", "max-age=3600"),
    ):
        store = store_of(bucket)
        infos = [store.describe(key) for key in objects(bucket)]
        assert {info.cache_control for info in infos} == {cache_control}
        assert sorted(info.content_type for info in infos) == ["image/jpeg", "image/webp"]
        assert {info.key.rpartition(".")[2] for info in infos} == {"jpg", "webp"}
    originals = [store_of("originals").describe(key) for key in objects("originals")]
    assert {info.cache_control for info in originals} == {"max-age=3600"}


# --- Failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failing", [child_functions.crash, child_functions.fail, child_functions.take_memory]
)
def test_a_failure_does_not_undo_the_upload_and_is_tried_again(
    failing: Callable[..., Any], species: str, ticket: dict, curator: Caller, monkeypatch
):
    with monkeypatch.context() as patch:
        run_instead(patch, failing)
        answer = curator.complete(ticket)
        assert (answer.status_code, answer.json()["state"]) == (200, "completed")
        assert answer.json()["processing"] is True
        assert waits(species, curator)
        assert row().rendition_attempts == 1
        assert row().rendition_error
        sweep()
        assert row().rendition_attempts == 1  # it is not due yet
        sweep(passed=timedelta(seconds=11))
        assert row().rendition_attempts == 2

    sweep(passed=timedelta(seconds=21))
    assert is_made()
    assert (row().rendition_attempts, row().rendition_error) == (0, "")


def test_the_time_between_two_attempts_grows_until_there_is_none(ticket: dict, curator: Caller, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    run_instead(monkeypatch, child_functions.crash)
    waits: list[float] = []
    curator.complete(ticket)
    while due_at := row().renditions_due_at:
        waits.append((due_at - now).total_seconds())
        sweep(passed=timedelta(hours=2))

    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert row().rendition_attempts == renditions.MAX_ATTEMPTS
    assert row().rendition_error
    assert not row().is_processing


def test_a_process_that_is_killed_is_no_failure_of_the_picture(ticket: dict, curator: Caller, monkeypatch):
    with monkeypatch.context() as patch:
        run_instead(patch, child_functions.be_killed)
        assert curator.complete(ticket).json()["processing"] is True

    assert row().rendition_attempts == 0
    sweep()
    assert is_made()


def test_a_picture_that_is_missing_in_storage_is_a_failure(ticket: dict, curator: Caller, monkeypatch):
    with monkeypatch.context() as patch:
        run_instead(patch, child_functions.crash)
        curator.complete(ticket)
    store_of("originals").delete_object(row().original.key)

    sweep(passed=timedelta(seconds=11))

    assert row().rendition_attempts == 2
    assert "missing" in row().rendition_error


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("is_stored", [False, True])
def test_while_the_store_fails_nothing_is_recorded(
    is_stored: bool, at: int, species: str, ticket: dict, curator: Caller, monkeypatch
):
    """`at`: the rendition with which the store fails, twice, before or after it has stored it."""
    put, numbers = LocalStorage.put, count(1)

    def fails(*args: Any, **options: Any) -> None:
        is_failing = next(numbers) in (at, at + 1)
        if is_stored or not is_failing:
            put(*args, **options)
        if is_failing:
            raise StorageUnavailable("down")

    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", fails)
        answer = curator.complete(ticket)

    assert (answer.status_code, answer.json()["processing"]) == (200, True)
    assert waits(species, curator)
    assert "StorageUnavailable" in row().rendition_error
    assert not Removal.objects.filter(is_reservation=True).exists()
    sweep(passed=timedelta(seconds=11))
    assert is_made()
    assert row().rendition_error == ""


def test_a_rendition_whose_response_is_lost_is_stored_once_more(ticket: dict, curator: Caller, monkeypatch):
    """... under another key, and the first object is removed, also if it appears later."""
    put, keys = LocalStorage.put, []

    def loses_the_first(store: Any, key: str, *args: Any, **options: Any) -> None:
        put(store, key, *args, **options)
        keys.append(key)
        if len(keys) == 1:
            raise StorageUnavailable("down")

    monkeypatch.setattr(LocalStorage, "put", loses_the_first)
    answer = curator.complete(ticket)

    assert (answer.status_code, answer.json()["processing"]) == (200, False)
    assert is_made()
    [removal] = Removal.objects.all()
    assert (removal.key, removal.is_reservation) == (keys[0], False)
    assert removal.check_until
    assert not store_of(removal.bucket).has_object(keys[0])


def test_a_sweep_is_told_that_the_store_is_down(ticket: dict, curator: Caller, monkeypatch):
    """... so that it does not try all other pictures in vain."""
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", down)
        curator.complete(ticket)
        with pytest.raises(StorageUnavailable):
            renditions.make_due(row())

    assert "StorageUnavailable" in row().rendition_error
    assert row().is_processing


# --- In the middle of it ----------------------------------------------------------------------------------


def overtaken(calls: StorageCalls, ticket: dict, curator: Caller, at: int, act: Callable[[], Any]) -> Any:
    """The answer to the completion, while storing whose renditions this happens."""
    real: Any = verification.verify
    with pytest.MonkeyPatch.context() as patch:

        def then_count(*args: Any) -> Any:
            found = real(*args)
            calls.fault = Fault("overtaken", at=calls.number + at, other=act)
            return found

        patch.setattr(verification, "verify", then_count)
        with calls.disturbed_by(Fault("overtaken", at=10**6)):
            answer = curator.complete(ticket)
        assert calls.struck == "put", calls.struck
    return answer


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("below", ["image/", ""])
def test_what_is_deleted_meanwhile_leaves_nothing_behind(
    below: str, at: int, species: str, ticket: dict, curator: Caller, calls: StorageCalls
):
    answer = overtaken(calls, ticket, curator, at, lambda: curator.delete(species + below))

    assert (answer.status_code, answer.json()["processing"]) == (200, False)
    assert not SpeciesPicture.objects.exists()
    sweep()
    assert objects("species") == objects("originals") == objects("uploads") == []
    assert not Removal.objects.filter(is_reservation=True).exists()


@pytest.mark.parametrize("below", ["image/", ""])
def test_what_is_deleted_while_it_is_converted_gets_none(
    below: str, species: str, ticket: dict, curator: Caller
):
    class Overtaken(Renderer):
        def render(self, *args: Any) -> Rendered:
            rendered = super().render(*args)
            assert curator.delete(species + below).status_code == 204
            return rendered

    curator.complete(ticket)

    assert renditions.make(row(), renderer=Overtaken()) is False
    assert objects("species") == objects("originals") == []


@pytest.mark.parametrize("at", [1, 2])
def test_a_picture_that_is_replaced_meanwhile_is_the_one_that_is_shown(
    at: int, species: str, ticket: dict, curator: Caller, calls: StorageCalls
):
    red = picture(colour="red")
    newer = ticket_for(curator, species, red, "image/jpeg")
    send(newer, red)

    overtaken(calls, ticket, curator, at, lambda: curator.complete(newer))

    assert stored("originals", row().original.key) == red
    assert is_made()


def test_a_picture_that_is_replaced_before_its_renditions_are_made_gets_none_of_the_older(
    species: str, ticket: dict, curator: Caller, monkeypatch
):
    red = picture(colour="red")
    newer = ticket_for(curator, species, red, "image/jpeg")
    send(newer, red)
    make_at_once = renditions.make_at_once

    def be_overtaken(*args: Any) -> None:
        monkeypatch.setattr(renditions, "make_at_once", make_at_once)
        assert curator.complete(newer).status_code == 200
        make_at_once(*args)

    monkeypatch.setattr(renditions, "make_at_once", be_overtaken)

    assert curator.complete(ticket).status_code == 200
    assert stored("originals", row().original.key) == red
    assert shows(red)
    assert is_made()


@pytest.mark.parametrize("below", ["image/", ""])
def test_a_picture_that_is_deleted_before_its_renditions_are_made_gets_none(
    below: str, species: str, ticket: dict, curator: Caller, monkeypatch
):
    make_at_once = renditions.make_at_once

    def be_overtaken(*args: Any) -> None:
        assert curator.delete(species + below).status_code == 204
        make_at_once(*args)

    monkeypatch.setattr(renditions, "make_at_once", be_overtaken)

    assert curator.complete(ticket).status_code == 200
    assert objects("species") == objects("originals") == []


def shows(content: bytes) -> bool:
    """Return True if what is published has the colour of this picture."""
    jpeg = stored("species", row().jpeg.key)
    with Image.open(BytesIO(content)) as sent, Image.open(BytesIO(jpeg)) as served:
        pairs = zip(sent.convert("RGB").getpixel((20, 15)), served.getpixel((20, 15)), strict=True)
        return all(abs(one - other) < 20 for one, other in pairs)


def test_two_sweeps_at_once_make_them_once(ticket: dict, curator: Caller, calls: StorageCalls, monkeypatch):
    with monkeypatch.context() as patch:
        run_instead(patch, child_functions.crash)
        curator.complete(ticket)
    SpeciesPicture.objects.update(renditions_due_at=timezone.now())
    first, second = row(), row()

    assert renditions.make_due(first)
    before = calls.number
    assert not renditions.make_due(second)
    assert calls.number == before
    assert is_made()


def test_a_picture_that_is_deleted_when_the_sweep_has_claimed_it_gets_none(
    species: str, ticket: dict, curator: Caller, monkeypatch
):
    with monkeypatch.context() as patch:
        run_instead(patch, child_functions.crash)
        curator.complete(ticket)
    due = row()

    def then_delete(execute: Any, sql: str, *rest: Any) -> Any:
        result = execute(sql, *rest)
        if sql.startswith('UPDATE "api_speciespicture"'):
            SpeciesPicture.objects.filter(pk=due.pk).delete()
        return result

    with connection.execute_wrapper(then_delete):
        assert renditions.make_due(due) is False
    assert objects("species") == []


def test_a_sweep_leaves_alone_what_another_process_is_making(ticket: dict, curator: Caller, monkeypatch):
    with monkeypatch.context() as patch:
        run_instead(patch, child_functions.crash)
        curator.complete(ticket)
    SpeciesPicture.objects.update(renditions_due_at=timezone.now() + CLAIMED_FOR)

    sweep()

    assert row().is_processing
    sweep(passed=CLAIMED_FOR)
    assert is_made()


def test_they_are_made_again_and_the_earlier_ones_go(ticket: dict, curator: Caller):
    curator.complete(ticket)
    before = set(objects("species"))

    assert renditions.make(row())

    assert is_made()
    assert before.isdisjoint(objects("species"))


# --- Pictures of earlier versions -------------------------------------------------------------------------


@pytest.fixture
def earlier(species: str) -> SpeciesPicture:
    """A picture as the migration leaves it: what was sent is published."""
    key = "african-penguin/earlier.jpg"
    options = {"content_type": "image/jpeg", "cache_control": "max-age=31536000"}
    store_of("species").put(key, [picture()], **options)
    return SpeciesPicture.objects.create(
        entry=Species.objects.get(), position=0, published_original=key, renditions_due_at=timezone.now()
    )


def test_an_earlier_picture_is_published_until_its_renditions_are(
    species: str, earlier: SpeciesPicture, curator: Caller, nobody: Caller
):
    before = nobody.get(species).json()
    assert before["image_url"].endswith("/species/african-penguin/earlier.jpg")
    assert (before["image"]["url"], before["image"]["renditions"]) == (before["image_url"], [])
    original_url = f"{species}pictures/{earlier.pk}/original-url/"
    assert curator.get(original_url).status_code == 200

    sweep()

    assert is_made()
    assert row().published_original.key == ""
    assert row().original.key.startswith(species)
    assert stored("originals", row().original.key) == picture()
    assert nobody.get(species).json()["image_url"] != before["image_url"]
    assert curator.get(original_url).status_code == 200


def test_an_earlier_picture_that_cannot_be_moved_stays_published(
    species: str, earlier: SpeciesPicture, nobody: Caller, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "copy", down)
        with pytest.raises(CommandError):
            sweep()

    assert nobody.get(species).json()["image_url"].endswith("earlier.jpg")
    assert objects("species") == ["african-penguin/earlier.jpg"]
    assert objects("originals") == []
    sweep(passed=timedelta(seconds=11))
    assert is_made()


@pytest.mark.parametrize("how", ["image/", "", "replaced"])
def test_an_earlier_picture_goes_as_any_other(
    how: str, species: str, earlier: SpeciesPicture, ticket: dict, curator: Caller
):
    if how == "replaced":
        assert curator.complete(ticket).status_code == 200
        assert is_made()
    else:
        assert curator.delete(species + how).status_code == 204
        assert objects("species") == objects("originals") == []


def test_an_earlier_avatar_is_shown_and_moved(alice: Caller):
    key = f"{alice.id}/earlier.png"
    store_of("user-profiles").put(key, [PNG], content_type="image/png", cache_control="max-age=3600")
    alice.get("profiles/me/")
    facts = {"name": "me.png", "size": len(PNG), "content_type": "image/png", "sha256": None}
    Profile.objects.update(
        published_original=key,
        renditions_due_at=timezone.now(),
        avatar_facts={**facts, "uploaded_at": "2026-11-21T02:45:07Z"},
    )

    avatar = alice.get("profiles/me/").json()["avatar"]
    assert avatar["url"]
    assert avatar["expires_at"]
    call_command("sweep")

    assert objects("originals")[0].startswith(f"user-profiles/{alice.id}/")
    assert stored("originals", objects("originals")[0]) == PNG
    assert key not in objects("user-profiles")
    assert len(alice.get("profiles/me/").json()["avatar"]["renditions"]) == 2
