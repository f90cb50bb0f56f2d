"""What SupabaseStorage does beside the contract: staging keys, and lists that say less than they should."""

import json
from datetime import timedelta

import pytest
from django.test import override_settings

from storage.errors import StorageMisconfigured
from storage.keys import STAGING_FOLDER
from storage.supabase import SupabaseStorage, client
from tests.support.proxy import Proxy


@pytest.fixture
def store(bucket_of) -> SupabaseStorage:
    return bucket_of()


def put(store: SupabaseStorage, key: str) -> None:
    store.put(key, [b"otter"], content_type="a/b", cache_control="max-age=1")


def keys_of(store: SupabaseStorage, prefix: str = "") -> list[str]:
    return [info.key for info in store.walk(prefix)]


def test_what_is_still_arriving_is_not_met_on_a_walk(store):
    for key in ("a", f"{STAGING_FOLDER}/x", f"{STAGING_FOLDER}-kept"):
        put(store, key)

    assert keys_of(store) == [f"{STAGING_FOLDER}-kept", "a"]
    assert keys_of(store, ".arr") == [f"{STAGING_FOLDER}-kept"]
    assert keys_of(store, f"{STAGING_FOLDER}/") == [f"{STAGING_FOLDER}/x"]


@pytest.mark.parametrize(
    ("min_age", "dry_run", "named", "left"),
    [
        (timedelta(0), False, ["1", "2"], []),
        (timedelta(0), True, ["1", "2"], ["1", "2"]),
        (timedelta(hours=1), False, [], ["1", "2"]),
    ],
    ids=["old", "dry run", "young"],
)
def test_what_a_failed_upload_left_is_deleted_when_it_is_old(store, min_age, dry_run, named, left):
    for key in ("a", f"{STAGING_FOLDER}/1", f"{STAGING_FOLDER}/2"):
        put(store, key)

    found = list(store.delete_leftovers(min_age, dry_run=dry_run))

    assert found == [f"{STAGING_FOLDER}/{name}" for name in named]
    assert keys_of(store, f"{STAGING_FOLDER}/") == [f"{STAGING_FOLDER}/{name}" for name in left]
    assert keys_of(store) == ["a"]


def test_a_bucket_that_is_missing_is_not_an_empty_one(supabase):
    with pytest.raises(StorageMisconfigured):
        list(SupabaseStorage("no-such-bucket").walk())


def test_a_bucket_does_not_look_empty_with_a_wrong_key(store):
    put(store, "a")
    with override_settings(SUPABASE_SECRET_KEY="somebody-elses"), pytest.raises(StorageMisconfigured):
        list(store.walk())


@pytest.mark.parametrize("lost", ["metadata", "size", "mimetype", "cacheControl"])
def test_what_a_list_leaves_out_is_asked_for(store, supabase, settings, lost):
    put(store, "a")
    put(store, "b")
    complete = list(store.walk())

    def without(body: bytes) -> bytes:
        answer = json.loads(body)
        first = answer["objects"][0]
        first["metadata"] = None if lost == "metadata" else {**first["metadata"], lost: None}
        return json.dumps(answer).encode()

    with Proxy(supabase) as proxy:
        proxy.on("POST", "/object/list-v2", body=without, forwards=True)
        settings.SUPABASE_URL = proxy.url

        assert list(store.walk()) == complete
        assert proxy.count("GET /object/info") == 1
    client.close()


def test_a_list_keeps_to_its_prefix(store, supabase, settings):
    """In a search of Storage, a `_` stands for any character (seen in v1.36.4)."""
    put(store, "my_docs/a")
    [info] = store.walk()
    time = info.created_at.isoformat()
    similar = {"id": "1", "name": "my-docs/a", "created_at": time, "updated_at": time, "metadata": None}

    def with_similar(body: bytes) -> bytes:
        answer = json.loads(body)
        answer["objects"].insert(0, similar)
        answer["folders"].insert(0, {"name": "my-docs/b"})
        return json.dumps(answer).encode()

    with Proxy(supabase) as proxy:
        proxy.on("POST", "/object/list-v2", body=with_similar, forwards=True)
        settings.SUPABASE_URL = proxy.url

        assert keys_of(store, "my_docs/") == ["my_docs/a"]
        assert store.listdir("my_docs") == ([], ["a"])
        assert store.exists("my_docs")
        assert not store.exists("my_doc_")
    client.close()


def test_every_character_of_a_key_is_quoted_when_its_metadata_is_requested(store, supabase, settings):
    """Storage below v1.42 takes what follows a bare `;` for a query."""
    key = "a;b?c&d=e+f,g@h:i$j.txt"
    put(store, key)

    with Proxy(supabase) as proxy:
        settings.SUPABASE_URL = proxy.url

        assert store.exists(key)
        [(_, path)] = proxy.calls

    assert path.endswith("/a%3Bb%3Fc%26d%3De%2Bf%2Cg%40h%3Ai%24j.txt")
    client.close()
