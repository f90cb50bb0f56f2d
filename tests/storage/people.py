"""Who asks: the cast with tokens of their own, and people whose tokens claim what they are not.

Those have the id of alice or of bob, and so their folders.
"""

from typing import Any

from api.auth.development_tokens import member_id
from storage.supabase.policies import PolicyOptions
from tests.storage.direct import Claims

ALICE, BOB, CURATOR, DIRECTOR = (
    str(member_id(f"{name}@example.org")) for name in ("alice", "bob", "curator", "director")
)
RULES = PolicyOptions(
    buckets={
        "documents": False,
        "user-profiles": False,
        "originals": False,
        "uploads": False,
        "media": False,
        "species": True,
        "exhibitions": True,
        "educational-services": True,
    },
    owned=["documents", "user-profiles"],
    shared=["documents"],
    incoming="uploads",
    staff_roles=["staff", "admin"],
)


def member(of: str, **changes: Any) -> Claims:
    """The claims of a member's token, as Supabase Auth writes them."""
    usual = {
        "aud": "authenticated",
        "sub": of,
        "role": "authenticated",
        "email": "somebody@example.org",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "is_anonymous": False,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not None}


PEOPLE: dict[str, Claims] = {
    "owner": member(ALICE),
    "stranger": member(BOB),
    "staff": member(CURATOR, app_metadata={"role": "staff"}),
    "admin": member(DIRECTOR, app_metadata={"role": "admin"}),
    "by_user_metadata": member(BOB, user_metadata={"role": "staff", "app_metadata": {"role": "staff"}}),
    "by_email": member(BOB, email="staff", user_role="staff", is_staff=True),
    "by_a_list": member(BOB, app_metadata={"role": ["staff", "admin"], "roles": ["staff"]}),
    "anonymous": member(ALICE, is_anonymous=True, app_metadata={"role": "staff"}),
    "oauth_client": member(ALICE, client_id="9a1b", app_metadata={"role": "staff"}),
    "no_sub": member(ALICE, sub=None, app_metadata={"role": "staff"}),
    "odd_sub": member("odd", app_metadata={"role": "staff"}),
    "id_token": member(ALICE, aud="a-client", role=None, app_metadata={"role": "staff"}),
    "visitor": {"role": "anon"},
    "server": {"role": "service_role"},
}
