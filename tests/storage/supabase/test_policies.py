"""Row-level security, on a real PostgreSQL: who reaches what with a token of their own, past the API."""

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import jwt
import psycopg
import pytest
from django.test import Client
from psycopg.errors import InsufficientPrivilege

from api.models import Document, Profile
from storage.supabase import policies
from storage.supabase.policies import PolicyOptions
from tests.api.profiles.test_profiles import with_avatar
from tests.storage.direct import (
    CREATING,
    ONE_A_COMMAND,
    READING,
    VERBS,
    Claims,
    allowed,
    asking,
    carried_out,
    copy_to,
    move_to,
)
from tests.storage.people import ALICE, BOB, CURATOR, PEOPLE, RULES, member
from tests.storage.project import GUIDE, put
from tests.support.cast import Caller

pytestmark = pytest.mark.slow

# `r`: may read, by every verb that reads. `w`: may also create and change, by every verb that does.
# `.`: no verb does anything.
TABLE = """
                                    | owner stranger staff admin | by_user_metadata by_email by_a_list | anonymous oauth_client no_sub odd_sub id_token | visitor server
documents: ALICE/plan.pdf           | r     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: ALICE/2026/plan.pdf      | r     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: BOB/plan.pdf             | .     r        r     r     | r                r        r         | .         .            .      .       .        | .       rw
documents: shared/ALICE/map.pdf     | r     r        r     r     | r                r        r         | .         .            .      .       .        | .       rw
documents: shared/BOB/Xk3v/map.pdf  | r     r        r     r     | r                r        r         | .         .            .      .       .        | .       rw
documents: plan.pdf                 | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: ALICE                    | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: shared                   | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: old/ALICE/plan.pdf       | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: old/shared/map.pdf       | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: SHARED/ALICE/loud.pdf    | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
documents: odd/plan.pdf             | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
user-profiles: ALICE/face.png       | r     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
user-profiles: BOB/face.png         | .     r        r     r     | r                r        r         | .         .            .      .       .        | .       rw
user-profiles: shared/ALICE/f.png   | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
originals: user-profiles/ALICE/f.png| .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
originals: ALICE/face.png           | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
originals: species/panda/photo.jpg  | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
uploads: 0197/arrived.pdf           | .     .        .     .     | .                .        .         | .         .            .      .       .        | .       rw
uploads: ALICE/arrived.pdf          | .     .        .     .     | .                .        .         | .         .            .      .       .        | .       rw
media: ALICE/logo.png               | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
media: shared/BOB/logo.png          | .     .        r     r     | .                .        .         | .         .            .      .       .        | .       rw
species: red-panda/photo.jpg        | .     .        rw    rw    | .                .        .         | .         .            .      .       .        | .       rw
species: qr-codes/red-panda.png     | .     .        rw    rw    | .                .        .         | .         .            .      .       .        | .       rw
species: ALICE/photo.jpg            | .     .        rw    rw    | .                .        .         | .         .            .      .       .        | .       rw
exhibitions: shared/BOB/photo.jpg   | .     .        rw    rw    | .                .        .         | .         .            .      .       .        | .       rw
theirs: ALICE/note.txt              | rw    rw       rw    rw    | rw               rw       rw        | rw        rw           rw     rw      .        | .       rw
"""  # noqa: E501

WIDE_OPEN = "create policy anything on storage.objects for all to public using (bucket_id <> 'theirs')"
WITHOUT_LIMITS = ";".join(
    f"drop policy vivarium_{command}_limit on storage.objects"
    for command in ("select", "insert", "update", "delete")
)

# --- The table above, read -----------------------------------------------------------------------------


def cells(text: str) -> dict[str, dict[str, str]]:
    """{person: {place: letters}}"""
    head, *rows = (line.replace("|", " ") for line in text.strip("\n").splitlines())
    people = head.split()
    table: dict[str, dict[str, str]] = {person: {} for person in people}
    for row in rows:
        bucket, key, *letters = row.split()
        for person, letter in zip(people, letters, strict=True):
            table[person][f"{bucket} {key}"] = letter
    return table


EXPECTED = cells(TABLE)
PLACES = list(EXPECTED["owner"])
TELLING = [  # enough to tell who somebody is taken for
    "documents: ALICE/plan.pdf",
    "documents: BOB/plan.pdf",
    "documents: shared/BOB/Xk3v/map.pdf",
    "media: ALICE/logo.png",
    "uploads: ALICE/arrived.pdf",
    "species: ALICE/photo.jpg",
    "theirs: ALICE/note.txt",
]
LETTERS = {".": set(), "r": {*READING}, "rc": {*READING, *CREATING}, "rw": {*VERBS}}


def where(place: str) -> tuple[str, str]:
    bucket, key = place.split(": ")
    return bucket, key.replace("SHARED", "Shared").replace("ALICE", ALICE).replace("BOB", BOB)


def answers(
    connection: psycopg.Connection[Any], claims: Claims, places: Sequence[str] = PLACES
) -> dict[str, str]:
    """The column of whoever has these claims; instead of a letter the verbs, where they disagree."""
    return {place: letter(allowed(connection, claims, *where(place))) for place in places}


def expected(person: str, places: Sequence[str] = PLACES) -> dict[str, str]:
    return {place: EXPECTED[person][place] for place in places}


def letter(verbs: set[str]) -> str:
    return next((name for name, meant in LETTERS.items() if meant == verbs), str(sorted(verbs)))


def test_the_table_is_whole():
    assert list(EXPECTED) == list(PEOPLE)
    assert len(PEOPLE) >= 10
    assert len(PLACES) >= 12


@pytest.fixture
def database(hosted: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """With an object in every place of the table."""
    for place in PLACES:
        put(hosted, *where(place))
    return hosted


# --- Who may do what -----------------------------------------------------------------------------------


def test_everybody_gets_the_answers_of_the_table(database):
    policies.apply(database, RULES)

    assert {person: answers(database, claims) for person, claims in PEOPLE.items()} == EXPECTED


def test_and_no_more_whatever_stands_beside_it(database):
    database.execute(WIDE_OPEN)
    policies.apply(database, RULES)

    for person, claims in PEOPLE.items():
        for place, letters in EXPECTED[person].items():
            verbs = allowed(database, claims, *where(place), ONE_A_COMMAND)
            assert verbs == LETTERS[letters] & {*ONE_A_COMMAND}, (person, place)


def test_what_guides_say_leaks_by_itself(database):
    database.execute(GUIDE)

    private = where("documents: ALICE/plan.pdf")
    for person in ("stranger", "anonymous", "oauth_client", "no_sub"):
        assert {*READING} <= allowed(database, PEOPLE[person], *private), person
    assert {*VERBS} == allowed(database, PEOPLE["oauth_client"], *private)


def test_and_nothing_leaks_with_ours_beside_it(database):
    database.execute(GUIDE)
    policies.apply(database, RULES)
    places = [place for place in TELLING if place.startswith("documents")]

    for person, claims in PEOPLE.items():
        assert answers(database, claims, places) == expected(person, places), person


def test_without_policies_nobody_but_the_server_gets_anything(database):
    for person in ("owner", "staff", "visitor"):
        assert allowed(database, PEOPLE[person], *where("documents: ALICE/plan.pdf")) == set()
    assert allowed(database, PEOPLE["server"], *where("documents: ALICE/plan.pdf")) == {*VERBS}


def test_the_buckets_of_others_are_as_they_were(database):
    place = where("theirs: ALICE/note.txt")
    before = {person: allowed(database, claims, *place) for person, claims in PEOPLE.items()}

    policies.apply(database, RULES)

    assert {person: allowed(database, claims, *place) for person, claims in PEOPLE.items()} == before


def test_a_limit_that_somebody_drops_lets_nobody_in_by_itself(database):
    policies.apply(database, RULES)
    database.execute(WITHOUT_LIMITS)

    for person, claims in PEOPLE.items():
        assert answers(database, claims, TELLING) == expected(person, TELLING), person


@pytest.mark.parametrize(
    "then", ["", WIDE_OPEN, WITHOUT_LIMITS], ids=["alone", "beside anything", "without limits"]
)
@pytest.mark.parametrize("verb", [move_to, copy_to])
def test_nothing_goes_from_one_place_to_another_but_among_those_one_may_write(database, verb, then: str):
    """And by copy, from where one may read."""
    policies.apply(database, RULES)
    database.execute(then)
    places = [*TELLING, "exhibitions: shared/BOB/photo.jpg"]
    enough = {"rw"} if verb is move_to else {"r", "rw"}

    for person in ("owner", "staff", "oauth_client"):
        with asking(database, PEOPLE[person]):
            for place, other in product(places, repeat=2):
                bucket, key = where(other)
                may = EXPECTED[person][place] in enough and EXPECTED[person][other] == "rw"
                done = carried_out(database, verb(bucket, f"{key}.new"), *where(place))
                assert done == may, (person, place, other)


CARELESS = "create policy careless on storage.buckets for all to authenticated using (true)"
PUBLISH = "update storage.buckets set public = true where id = %s returning *"


def test_nobody_makes_a_bucket_of_ours_public(database):
    """Then its objects are served to everybody, and no policy on them is asked."""
    database.execute(CARELESS)
    with asking(database, PEOPLE["stranger"]):
        assert database.execute(PUBLISH, ["documents"]).fetchone()

    policies.apply(database, RULES)

    for person in ("stranger", "staff"):
        with asking(database, PEOPLE[person]):
            assert database.execute(PUBLISH, ["documents"]).fetchone() is None
            assert database.execute(PUBLISH, ["theirs"]).fetchone()
            assert database.execute("delete from storage.buckets where id = 'documents'").rowcount == 0
            with pytest.raises(InsufficientPrivilege), database.transaction():
                database.execute(
                    "insert into storage.buckets (id, name) values ('educational-services', 'a')"
                )
            with pytest.raises(InsufficientPrivilege), database.transaction():
                database.execute("update storage.buckets set id = 'educational-services' where id = 'theirs'")
    with asking(database, PEOPLE["server"]):
        assert database.execute(PUBLISH, ["documents"]).fetchone()


def test_a_sub_that_is_no_uuid_is_no_error_of_ours(database):
    policies.apply(database, RULES)

    with asking(database, PEOPLE["odd_sub"]):
        assert database.execute("select count(*) from storage.objects").fetchone() == (1,)  # theirs


@pytest.mark.parametrize(
    "claims",
    [
        member(ALICE.upper()),
        member(ALICE, is_anonymous=None, client_id=""),
        member(ALICE, app_metadata=None, user_metadata=None, email=None),
        member(ALICE) | {"is_anonymous": None, "client_id": None, "app_metadata": None},
        member(ALICE, aud=["authenticated"]),
    ],
    ids=str,
)
def test_a_genuine_token_may_look_like_this(database, claims: Claims):
    policies.apply(database, RULES)

    assert answers(database, claims, TELLING) == expected("owner", TELLING)


@pytest.mark.parametrize(
    "role",
    ["Staff", "staff ", "staff,admin", "", None, True, 1, ["staff"], {"staff": True}, '"staff"'],
    ids=repr,
)
def test_nothing_like_a_role_of_staff_is_one(database, role: Any):
    policies.apply(database, replace(RULES, staff_roles=["staff", "true", "1", '["staff"]']))

    claims = member(ALICE, app_metadata={"role": role})
    assert answers(database, claims, TELLING) == expected("owner", TELLING)


@pytest.mark.parametrize(
    "metadata", ["staff", ["role", "staff"], [{"role": "staff"}], 1, {"roles": ["staff"]}]
)
def test_nor_is_it_in_metadata_of_another_shape(database, metadata: Any):
    policies.apply(database, RULES)

    claims = member(ALICE) | {"app_metadata": metadata}
    assert answers(database, claims, TELLING) == expected("owner", TELLING)


# --- Settings ------------------------------------------------------------------------------------------


def test_whom_the_settings_admit_is_a_plain_member(database):
    policies.apply(database, replace(RULES, allow_anonymous=True))
    assert answers(database, PEOPLE["anonymous"], TELLING) == expected("owner", TELLING)
    assert answers(database, PEOPLE["oauth_client"], TELLING) == expected("oauth_client", TELLING)

    policies.apply(database, replace(RULES, allow_oauth_clients=True))
    assert answers(database, PEOPLE["anonymous"], TELLING) == expected("anonymous", TELLING)
    assert answers(database, PEOPLE["oauth_client"], TELLING) == expected("owner", TELLING)


HOSTILE = [
    "o'brien",
    "'; drop table storage.objects; --",
    'say "staff"',
    "back\\slash\\'",
    "{braces} %s %(name)s $$ $1",
    "Tierpflegerin für Pinguine 🐧",
    "a,b}",
    "*/ or true -- ",
    "line\nbreak",
]


def test_hostile_names_of_roles_and_buckets_stay_names(database):
    buckets = {f"bucket {name}": True for name in HOSTILE}
    for bucket in buckets:
        put(database, bucket, "a/photo.jpg")
    policies.apply(database, PolicyOptions(buckets=buckets, staff_roles=HOSTILE))

    for role, bucket in zip(HOSTILE, buckets, strict=True):
        keeper = member(CURATOR, app_metadata={"role": role})
        assert letter(allowed(database, keeper, bucket, "a/photo.jpg")) == "rw"
        assert letter(allowed(database, PEOPLE["staff"], bucket, "a/photo.jpg")) == "."


def test_without_roles_of_staff_nobody_is_staff(database):
    policies.apply(database, replace(RULES, staff_roles=[]))

    assert answers(database, PEOPLE["staff"], TELLING) == expected("stranger", TELLING) | {
        "documents: BOB/plan.pdf": "."
    }


def test_direct_uploads_let_members_create_in_their_own_folder_and_that_is_all(database):
    policies.apply(database, replace(RULES, direct_uploads=True))
    deep, avatar = "documents: ALICE/2026/plan.pdf", "user-profiles: ALICE/face.png"
    places = [*TELLING, deep, avatar, "documents: ALICE", "documents: shared/ALICE/map.pdf"]
    of_bob = ["documents: BOB/plan.pdf"]
    gained = {"owner": ["documents: ALICE/plan.pdf", deep, avatar], "stranger": of_bob, "by_a_list": of_bob}

    for person in (*gained, "staff", "anonymous", "oauth_client", "no_sub", "odd_sub", "visitor"):
        rights = expected(person, places) | dict.fromkeys(gained.get(person, []), "rc")
        assert answers(database, PEOPLE[person], places) == rights, person


def test_direct_uploads_reach_no_folder_but_ones_own(database):
    policies.apply(database, replace(RULES, direct_uploads=True))
    own = where("documents: ALICE/plan.pdf")

    with asking(database, PEOPLE["owner"]):
        for bucket, key in map(where, PLACES):
            for verb in (move_to, copy_to):
                done = carried_out(database, verb(bucket, f"{key}.new"), *own)
                mine = bucket in ("documents", "user-profiles") and key.startswith(f"{ALICE}/")
                assert done == (verb is copy_to and (mine or bucket == "theirs")), (verb, bucket, key)
        for key in (
            ALICE,
            f"{ALICE}.pdf",
            "plan.pdf",
            f"/{ALICE}/plan.pdf",
            "shared/x.pdf",
            f"x/{ALICE}/x.pdf",
        ):
            assert not carried_out(database, copy_to("user-profiles", key), *own), key


def test_the_rules_are_those_of_the_settings(settings):
    settings.SUPABASE_STAFF_ROLES = ["keeper"]
    settings.SUPABASE_ALLOW_ANONYMOUS = True

    rules = policies.from_settings()

    assert rules == replace(RULES, staff_roles=["keeper"], allow_anonymous=True)
    assert policies.from_settings(direct_uploads=True).direct_uploads


# --- The API, asked for the same people ----------------------------------------------------------------


def token(claims: Claims, settings: Any) -> str:
    now = int(time.time())
    whole = {"iss": settings.SUPABASE_JWT_ISSUER, "iat": now, "exp": now + 3600, **claims}
    return jwt.encode(whole, settings.SUPABASE_JWT_SECRET, algorithm="HS256")


@pytest.mark.parametrize("admit", [False, True], ids=["as usual", "all admitted"])
def test_the_api_gives_the_same_answers(database, alice: Caller, bob: Caller, settings, admit: bool):
    settings.SUPABASE_ALLOW_ANONYMOUS = settings.SUPABASE_ALLOW_OAUTH_CLIENTS = admit
    files = {}
    for caller in (alice, bob):
        for visibility in ("private", "authenticated"):
            document = caller.document_with_file(visibility=visibility)
            files[f"documents/{document['id']}"] = (
                "documents",
                Document.objects.get(pk=document["id"]).file.name,
            )
        with_avatar(caller)
        files[f"profiles/{caller.id}"] = ("user-profiles", Profile.objects.get(pk=caller.id).jpeg.name)
    for bucket, key in files.values():
        put(database, bucket, key)
    policies.apply(database, policies.from_settings())

    for person, claims in PEOPLE.items():
        if person == "server":  # the API has no such caller
            continue
        headers = {} if person == "visitor" else {"authorization": f"Bearer {token(claims, settings)}"}
        client = Client(headers=headers)
        by_api = {path: client.get(f"/api/v1/{path}/download-url/").status_code == 200 for path in files}
        directly = {path: allowed(database, claims, *place, READING) for path, place in files.items()}
        assert directly == {path: {*READING} if may else set() for path, may in by_api.items()}, person


def test_the_original_of_an_avatar_is_read_by_staff_and_through_the_api_alone(database, alice: Caller):
    with_avatar(alice)
    original = Profile.objects.get(pk=alice.id).avatar
    put(database, original.storage.bucket, original.name)
    policies.apply(database, policies.from_settings())

    directly = answers(database, PEOPLE["owner"], [f"originals: {original.name}"])
    by_staff = answers(database, PEOPLE["staff"], [f"originals: {original.name}"])

    assert [*directly.values(), *by_staff.values()] == [".", "r"]
    assert alice.get("profiles/me/download-url/").status_code == 200


def test_the_folders_of_members_are_in_the_buckets_of_their_files():
    kept = {Document._meta.get_field("file").storage.bucket, Profile._meta.get_field("jpeg").storage.bucket}

    assert kept == {*policies.from_settings().owned}
