"""The checks of `check_supabase` in any project that has installed the app `storage`, in their order."""

from collections.abc import Iterator

from storage.supabase.doctor import address, project
from storage.supabase.doctor.leftovers import check_leftovers
from storage.supabase.doctor.steps import Step


def storage_steps() -> Iterator[Step]:
    yield Step("url", address.check_url)
    yield Step("reachable", address.check_reachable, needs=("url",))
    yield Step("key", project.check_key, needs=("url", "reachable", "storage"))
    yield Step("clock", address.check_clock, needs=("url", "reachable"))
    yield Step("buckets", project.check_buckets, needs=("reachable", "storage", "key"))
    yield Step("leftovers", check_leftovers, needs=("reachable", "storage", "key", "buckets"))
    yield Step("signing", project.check_signing)
