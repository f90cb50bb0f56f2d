"""`migrate_to_supabase` against sites that nobody would wish for, and hands that slip."""

import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from email.utils import formatdate
from time import time

import pytest

from tests.storage.transfer.test_failures import is_reading, is_upload, once, retarget, wait_until
from tests.support.proxy import Fault, Plan, Proxy
from tests.support.server import ROOT
from tests.support.site import Site

pytestmark = pytest.mark.slow  # each starts processes


@pytest.fixture
def second(site: Site) -> dict[str, str]:
    """The environment in which another app's files go to a bucket of their own."""
    name = f"c{site.bucket}"
    site.make_bucket(name)
    return {"MIGRATE_BUCKETS": json.dumps({"annex.Guide.plan": name})}


def annex(site: Site, name: str) -> None:
    site.sql("insert into annex_guide (plan) values (?)", name)


# --- Clearing up -------------------------------------------------------------------------------------------


def test_what_another_bucket_has_not_got_yet_stays(site: Site, second: dict[str, str]):
    site.with_files("plan.pdf")
    annex(site, "plan.pdf")
    site.object("plan.pdf", b"theirs", bucket=f"c{site.bucket}")
    site.run(environment=second, code=1)

    said = site.run("--purge-source", "--yes", environment=second, code=1)

    assert "needed" in said
    assert site.disk() == {"plan.pdf": b"plan.pdf"}


def test_what_does_not_prove_to_be_in_each_bucket_stays(site: Site, second: dict[str, str]):
    site.with_files("plan.pdf")
    annex(site, "plan.pdf")
    site.run(environment=second)
    (site.server.media / f"c{site.bucket}" / "plan.pdf").write_bytes(b"plan.pdx")

    said = site.run("--purge-source", "--yes", environment=second, code=1)

    assert "unproved" in said
    assert site.disk() == {"plan.pdf": b"plan.pdf"}


def test_a_file_that_a_row_reaches_by_another_name_stays(site: Site):
    site.with_files("a/b.pdf")
    site.guide("a//b.pdf")
    (site.media / "link.pdf").symlink_to("a/b.pdf")
    site.guide("link.pdf")
    site.run("--exclude", "a//*", "--exclude", "link*")

    said = site.run("--purge-source", "--yes", code=1)

    assert "needed" in said
    assert (site.media / "link.pdf").read_bytes() == b"a/b.pdf"


def test_a_file_that_is_replaced_while_its_object_is_read_stays(site: Site):
    site.with_files("plan.pdf")
    with Proxy(site.server.url) as proxy:
        environment = {"FOREIGN_URL": proxy.url}
        site.run(environment=environment)
        proxy.plan = once(Fault(after=lambda: replace(site, "plan.pdf", b"new text")), is_reading)

        said = site.run("--purge-source", "--yes", environment=environment, code=1)

    assert "0 deleted, 1 left" in said
    assert site.disk() == {"plan.pdf": b"new text"}


def replace(site: Site, name: str, content: bytes) -> None:
    (site.media / "new").write_bytes(content)
    (site.media / "new").replace(site.media / name)


def test_a_second_name_that_was_left_is_cleared_up_too(site: Site):
    site.with_files("guía.pdf", "plan.pdf")
    site.run()
    (site.media / "guía.pdf").unlink()

    assert "2 deleted, 0 left" in site.run("--purge-source", "--yes")
    assert site.disk() == {}


def test_nobody_clears_up_or_goes_back_while_files_are_moved(site: Site):
    site.with_files("guía.pdf", "plan.pdf")
    site.run()
    site.with_files("new.pdf")
    before = site.dump(), site.disk()
    said = []

    def others() -> None:
        said.append(site.run("--purge-source", "--yes", environment=environment, code=2))
        said.append(site.run("--rollback", str(site.journal), environment=environment, code=2))

    with Proxy(site.server.url, once(Fault(before=others), is_upload)) as proxy:
        environment = {"FOREIGN_URL": proxy.url}
        site.journal.write_text(site.journal.read_text().replace(site.server.url, proxy.url))
        site.run(environment=environment)

    assert all("is being written by another run" in each for each in said)
    assert len(said) == 2
    assert (site.dump(), site.disk()) == before


def test_the_way_back_may_fetch_what_was_sent_after_the_switch(site: Site):
    changed, _ = site.with_files("guía.pdf", "plan.pdf")
    site.run()
    site.object("new/later.pdf", b"later")
    site.object("replaced.pdf", b"replaced")
    site.guide("new/later.pdf"), site.guide("gone.pdf"), site.guide("folder/away.pdf")
    site.object("folder/away.pdf", b"away")
    (site.folder / "elsewhere").mkdir()
    (site.media / "folder").symlink_to(site.folder / "elsewhere")
    site.sql("update foreign_guide set leaflet = 'replaced.pdf' where id = ?", changed)
    back = ["--rollback", str(site.journal)]

    without = site.run(*back)
    said = site.run(*back, "--fetch", code=1)
    again = site.run(*back, "--fetch", code=1)

    assert "'new/later.pdf' is not on this disk: --fetch looks in its bucket." in without
    assert "2 fetched" in said
    assert "'gone.pdf' is neither on this disk nor in" in said
    assert "disk: foreign.Guide.leaflet 5: 'folder/away.pdf' cannot be written: it is outside" in said
    assert "fetched" not in again
    assert site.disk() == {
        "new/later.pdf": b"later",
        "replaced.pdf": b"replaced",
        "plan.pdf": b"plan.pdf",
        "guía.pdf": "guía.pdf".encode(),
    }
    assert "--fetch is an option of --rollback." in site.run("--fetch", code=2)


def test_the_way_back_names_files_that_were_replaced_in_their_bucket(site: Site):
    site.with_files("plan.pdf", "map.pdf")
    (site.media / "folder").mkdir(), site.guide("folder")
    site.run(code=1)
    site.object("plan.pdf", b"newer", upsert=True)
    site.object("folder", b"a file here")

    said = site.run("--rollback", str(site.journal), "--fetch", code=1)

    assert "changed: foreign.Guide.leaflet 1: 'plan.pdf' was replaced in" in said
    assert "map.pdf" not in said
    assert "disk: foreign.Guide.leaflet 3: 'folder' cannot be written: its name is taken" in said
    assert "fetched" not in said
    assert site.disk() == {"plan.pdf": b"plan.pdf", "map.pdf": b"map.pdf"}


@pytest.mark.parametrize("fault", [Fault(cut=True), Fault(status=503)])
def test_a_file_is_fetched_whole_or_not_at_all(site: Site, fault: Fault):
    site.with_files("plan.pdf")
    site.object("later.pdf", b"later" * 1000)
    site.guide("later.pdf")
    with Proxy(site.server.url) as proxy:
        environment = {"FOREIGN_URL": proxy.url}
        site.run(environment=environment)
        proxy.plan = lambda number, method, path: fault if is_reading(method, path) else None
        back = ["--rollback", str(site.journal), "--fetch"]

        said = site.run(*back, environment=environment, code=1)
        assert "storage: foreign.Guide.leaflet 2: 'later.pdf' cannot be fetched" in said
        assert site.disk().keys() == {"plan.pdf"}
        proxy.plan = once(fault, is_reading)
        assert "1 fetched" in site.run(*back, environment=environment)

    assert site.disk()["later.pdf"] == b"later" * 1000


def test_an_object_with_other_bytes_than_it_says_is_not_fetched(site: Site):
    site.run()
    site.object("later.pdf", b"later")
    site.guide("later.pdf")
    path = site.server.media / site.bucket / "later.pdf"
    stat = path.stat()
    path.write_bytes(b"LATER")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    said = site.run("--rollback", str(site.journal), "--fetch", code=1)

    assert "The bytes that arrived are not those of the object" in said
    assert site.disk() == {}


def test_the_local_store_gets_back_files_with_their_facts(site: Site):
    (site.media / ".objects").mkdir()
    site.file(f"{site.bucket}/plan.pdf", b"plan"), site.guide("plan.pdf")
    environment = {"DJANGO_SETTINGS_MODULE": "tests.foreign.switched"}
    site.run(environment=environment)
    site.object("a/later.bin", b"later"), site.guide("a/later.bin")

    site.run("--rollback", str(site.journal), "--fetch", environment=environment)

    assert (site.media / site.bucket / "a/later.bin").read_bytes() == b"later"
    [record] = (site.media / ".objects/records").rglob("*.json")
    assert "text/plain" in record.read_text()


def test_a_store_with_a_location_is_refused(site: Site):
    site.with_files("plan.pdf")
    environment = {"DJANGO_SETTINGS_MODULE": "tests.foreign.switched", "FOREIGN_LOCATION": "media"}

    assert "foreign.Guide.leaflet has the option location" in site.run(environment=environment, code=2)
    assert site.target() == {}


# --- The journal -------------------------------------------------------------------------------------------


def test_what_one_bucket_has_is_not_done_for_another(site: Site):
    site.with_files("plan.pdf")
    site.run()
    other = f"d{site.bucket}"
    site.make_bucket(other)

    assert "1 moved" in site.run(environment={"FOREIGN_BUCKET": other})
    assert site.target(other) == {"plan.pdf": b"plan.pdf"}


def test_lines_of_a_field_that_is_gone_are_left_and_named(site: Site):
    site.with_files("guía.pdf", "año.pdf")
    site.run()
    text = site.journal.read_text().splitlines(keepends=True)
    gone = [line.replace('"leaflet"', '"brochure"') if "a\\u00f1o" in line else line for line in text]
    site.journal.write_text("".join([*gone, '{"state": "done", "model": 7}\n']))

    said = site.run("--rollback", str(site.journal))

    assert "missing: foreign.Guide 2: 'año.pdf' cannot be put back: foreign.Guide.brochure" in said
    assert site.names()[0] == "guía.pdf"
    assert "Traceback" not in said


def test_a_file_that_was_replaced_under_its_new_name_is_not_given_up(site: Site):
    site.with_files("guía.pdf", "año.pdf")
    site.run()
    replace(site, site.names()[0], b"new text")

    said = site.run("--rollback", str(site.journal))

    assert "changed: foreign.Guide 1: its file was replaced since" in said
    assert site.names()[1] == "año.pdf"
    assert (site.media / site.names()[0]).read_bytes() == b"new text"


def test_a_row_that_refuses_to_go_back_is_named_and_the_others_go(site: Site):
    site.with_files("guía.pdf", "año.pdf", "ñu.pdf")
    site.run()
    site.sql(
        "create trigger stubborn before update on foreign_guide when old.id = 2"
        " begin select raise(abort, 'no'); end"
    )

    said = site.run("--rollback", str(site.journal), code=1)

    assert "database: foreign.Guide 2 cannot be changed: no" in said
    assert [site.names()[0], site.names()[2]] == ["guía.pdf", "ñu.pdf"]


def test_a_second_name_that_another_row_uses_stays_on_the_way_back(site: Site, second: dict[str, str]):
    site.with_files("guía.pdf")
    site.run(environment=second)
    new = site.names()[0]
    annex(site, new)

    site.run("--rollback", str(site.journal), environment=second)

    assert (site.media / new).read_bytes() == "guía.pdf".encode()


# --- Names -------------------------------------------------------------------------------------------------


def test_a_second_name_of_a_link_leads_to_its_file(site: Site):
    site.file("año/real.pdf", b"real")
    (site.media / "año/niño.pdf").symlink_to("real.pdf")
    site.guide("año/niño.pdf")

    site.run()

    assert (site.media / site.names()[0]).read_bytes() == b"real"
    assert site.target() == {site.names()[0]: b"real"}


def test_a_file_that_had_the_new_name_before_stays_on_the_way_back(site: Site):
    for name in ("docs\\x.pdf", "docs/x.pdf"):
        site.file(name, b"the same bytes")
    site.guide("docs\\x.pdf")
    before = site.dump(), site.disk()

    site.run()
    site.run("--rollback", str(site.journal))

    assert (site.dump(), site.disk()) == before


def test_another_name_is_none_that_another_file_of_this_disk_has(site: Site):
    site.with_files("plan.pdf", "plan-2.pdf")
    site.object("plan.pdf", b"theirs")

    site.run("--on-conflict", "rename", "--jobs", "1")

    assert site.names() == ["plan-3.pdf", "plan-2.pdf"]
    assert site.target() == {"plan.pdf": b"theirs", "plan-3.pdf": b"plan.pdf", "plan-2.pdf": b"plan-2.pdf"}


def test_a_new_name_that_a_file_of_this_disk_has_is_a_conflict_before_anything_is_sent(site: Site):
    site.with_files("guía.pdf")
    new = site.run("--dry-run").split("→")[1].split("'")[1]
    site.file(new, b"another")

    looked = site.run("--dry-run", code=1)
    said = site.run(code=1)

    assert f"another local file would both become {new!r}" in looked
    assert "conflict: foreign.Guide.leaflet 1" in said
    assert site.target() == {}
    site.run("--on-conflict", "rename")
    assert site.names()[0].endswith("-2.pdf")


def test_a_column_without_room_for_another_name_is_told(site: Site):
    name = "a" * 35 + "/b.md"
    site.file(name)
    site.sql("insert into foreign_recording values ('00000000000000000000000000000001', ?)", name)
    site.object(name, b"theirs")
    site.with_files("plan.pdf")

    said = site.run("--on-conflict", "rename", code=1)

    assert "name: foreign.Recording.audio" in said
    assert "1 moved" in said


def test_columns_of_different_length_share_a_file(site: Site):
    name = "ñ" * 34 + ".pdf"
    site.with_files(name)
    site.sql("insert into foreign_recording values ('00000000000000000000000000000001', ?)", name)

    assert "2 moved" in site.run()
    [(short,)] = site.sql("select audio from foreign_recording")
    assert site.target().keys() == {short, site.names()[0]}


def test_a_file_of_another_bucket_is_not_taken_for_ones_own(site: Site):
    """`.objects` tells that this is a local store; its folders are buckets."""
    (site.media / ".objects/buckets").mkdir(parents=True)
    private = site.server.media / ".objects/buckets"
    for path in private.glob("*.json"):
        (site.media / ".objects/buckets" / path.name).write_bytes(path.read_bytes())
    site.file(f"{site.bucket}/secret.pdf", b"secret")
    site.guide(f"{site.bucket}/secret.pdf")

    public = f"p{site.bucket}"
    site.make_bucket(public, public=True)

    environment = {"DJANGO_SETTINGS_MODULE": "tests.foreign.switched", "FOREIGN_BUCKET": public}
    said = site.run(code=1, environment=environment)

    assert "missing: foreign.Guide.leaflet 1" in said
    assert site.target(public) == {}


def test_files_are_moved_under_any_spelling_of_their_names_and_their_rows_mended(site: Site):
    """Names as other systems write them: decomposed as on macOS, with backslashes, or absolute."""
    for name in ("año/gui\u0301a.pdf", "n\u0303u.pdf", "docs/x.pdf", "docs/y.pdf"):
        site.file(name)
    rows = [
        "an\u0303o/gu\u00eda.pdf",
        "\u00f1u.pdf",
        "n\u0303u.pdf",
        "docs\\x.pdf",
        f"{site.media}/docs/y.pdf",
    ]
    for row in rows:
        site.guide(row)
    site.file("Plan.PDF"), site.guide("plan.pdf")
    before = site.dump(), site.disk()

    looked = site.run("--dry-run", code=1)
    site.run(code=1)

    names = site.names()
    assert "collision" not in looked
    assert looked.count("orphan: ") == 1
    assert "'plan.pdf' is not on this disk. A similar file is: 'Plan.PDF'" in looked
    assert names[3:] == ["docs/x.pdf", "docs/y.pdf", "plan.pdf"]
    assert names[1] == names[2]
    assert site.target().keys() == set(names[:5])
    assert all((site.media / name).exists() for name in names[:5])
    site.run("--rollback", str(site.journal))
    assert (site.dump(), site.disk()) == before


# --- What it says ------------------------------------------------------------------------------------------


def test_failures_do_not_use_up_the_limit(site: Site):
    site.guide("missing.pdf"), site.guide("gone.pdf")
    site.with_files("a.pdf", "b.pdf", "c.pdf")

    site.run("--limit", "2", code=1)

    assert site.target().keys() == {"a.pdf", "b.pdf"}


@pytest.mark.parametrize("part", [["--limit", "1"], ["--exclude", "b*"], ["--model", "foreign.Guide"]])
def test_a_part_is_not_all(site: Site, part: list[str]):
    site.with_files("a.pdf", "b.pdf")

    said = site.run(*part)

    assert "all files are moved" not in said
    assert "run it again for all files before you switch the site" in said


@pytest.mark.parametrize(
    ("arguments", "environment", "cure"),
    [
        (["--report", "same", "--journal", "same"], {}, "a rollback needs the journal"),
        (["--bwlimit", "9" * 400], {}, "--bwlimit"),
        (["--journal", "/dev/full"], {}, "is not a file"),
        (
            [],
            {"FOREIGN_URL": "http://user:hunter2@127.0.0.1:9"},
            "is not the address of a project",
        ),
        ([], {"FOREIGN_URL": "https://["}, "is not the address of a project"),
        ([], {"FOREIGN_URL": "http://127.0.0.1:9/"}, "SUPABASE_URL has a path"),
        ([], {"MIGRATE_BUCKETS": '"foreign.Guide.leaflet=b"'}, "MIGRATE_BUCKETS is not a dict"),
    ],
)
def test_what_cannot_be_meant_is_refused(site: Site, arguments, environment, cure):
    site.with_files("plan.pdf")

    said = site.run(*arguments, environment=environment, code=2)

    assert cure in said
    assert "Traceback" not in said
    assert "hunter2" not in said


def test_a_report_that_cannot_be_written_hides_nothing(site: Site):
    site.with_files("plan.pdf")

    said = site.run("--report", "/dev/full", code=1)

    assert "1 moved" in said
    assert "--report /dev/full cannot be written" in said
    assert "Traceback" not in said


def test_a_terminal_that_lacks_letters_does_not_end_it(site: Site):
    site.guide("日本.pdf")
    site.with_files("guía.pdf")

    said = site.run(environment={"PYTHONIOENCODING": "ascii"}, code=1)

    assert "\\u65e5" in said
    assert "1 moved" in said


@pytest.mark.parametrize("spoil", [lambda path: path.mkdir(), lambda path: path.write_text("[{}]")])
def test_what_the_store_noted_of_a_file_may_be_broken(site: Site, spoil: Callable):
    site.with_files("plan.pdf")
    records = site.media / ".objects/records"
    records.mkdir(parents=True)
    records.rmdir()
    spoil(records)

    said = site.run("--exclude", "nothing", code=1 if records.is_file() else 0)

    assert "Traceback" not in said


CURSED = """
import mimetypes
guess = mimetypes.guess_type
def cursed(name, *args, **options):
    if "cursed" in str(name):
        raise ZeroDivisionError("nobody foresaw this")
    return guess(name, *args, **options)
mimetypes.guess_type = cursed
"""


def test_a_file_that_raises_what_nobody_foresaw_is_named_and_the_others_are_moved(site: Site):
    site.with_files("a.pdf", "cursed.pdf", "guía.pdf")
    (site.folder / "patch").mkdir()
    (site.folder / "patch/sitecustomize.py").write_text(CURSED)
    environment = {"PYTHONPATH": f"{site.folder / 'patch'}:{ROOT}"}

    looked = site.run("--dry-run", environment=environment, code=1)
    said = site.run("--report", "r.json", environment=environment, code=1)

    for output in (looked, said):
        assert "failed: foreign.Guide.leaflet 2: 'cursed.pdf': unexpected error: ZeroDivisionError" in output
        assert "Traceback" not in output
    assert json.loads((site.folder / "r.json").read_text())["counts"] == {"moved": 2, "failed": 1}
    site.run()
    site.is_moved()


def test_a_dry_run_knows_the_limit(site: Site):
    site.guide("missing.pdf")
    site.with_files(*(f"{number}.pdf" for number in range(5)))

    said = site.run("--dry-run", "--limit", "2", code=1)

    [row] = [line for line in said.splitlines() if "foreign.Guide.leaflet" in line and "│" in line]
    assert [cell.strip() for cell in row.split("│")][3] == "2"


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_it_ends_quietly_with_the_reader_of_its_output(site: Site, arguments: list[str]):
    site.sql(
        "insert into foreign_guide (leaflet, retired, touched_at)"
        " with recursive rows(number) as (select 1 union all select number + 1 from rows where number < 700)"
        " select ? || number || '.pdf', false, '2001-02-03 04:05:06' from rows",
        "missing" * 9,
    )
    site.with_files("plan.pdf", "guía.pdf")
    running = site.start(*arguments, stderr=subprocess.PIPE)

    running.stdout.read(10)
    running.stdout.close()

    assert running.stderr.read() == ""
    assert running.wait(60) == 1
    running.stderr.close()
    site.run(code=1)
    assert len(site.target()) == 2


# --- The network -------------------------------------------------------------------------------------------


def busy(retry_after: Callable[[], str], wanted: Callable[[str, str], bool], asked: list[float]) -> Plan:
    def plan(number: int, method: str, path: str) -> Fault | None:
        if not wanted(method, path):
            return None
        asked.append(time())
        return Fault(status=429, headers={"Retry-After": retry_after()}) if len(asked) == 1 else None

    return plan


def test_a_project_that_is_busy_at_the_start_is_asked_again_when_it_says(site: Site):
    site.with_files("plan.pdf")
    asked: list[float] = []
    with Proxy(site.server.url, busy(lambda: "6", lambda method, path: "/bucket" in path, asked)) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})
        retarget(site, proxy.url)

    assert len(asked) == 2
    site.is_moved()


def test_the_moment_to_ask_again_may_be_a_date(site: Site):
    site.with_files("plan.pdf")
    asked: list[float] = []
    moment = int(time()) + 8
    with Proxy(site.server.url, busy(lambda: formatdate(moment, usegmt=True), is_upload, asked)) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})

    assert asked[1] >= moment
    site.is_moved()


def test_ctrl_c_does_not_wait_for_a_locked_database(site: Site):
    site.with_files(*(f"{number}-ñ.pdf" for number in range(6)))
    running = site.start()
    lock = sqlite3.connect(site.database, isolation_level=None)
    wait_until(lambda: any(line["state"] == "moving" for line in site.lines()) or not_locked(lock))
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=30)
    lock.close()

    assert running.returncode == 1, said
    site.run()
    site.is_moved()


def not_locked(lock) -> bool:
    if not lock.in_transaction:
        lock.execute("begin immediate")
    return False
