"""`migrate_to_supabase` as people run it: a process of its own, over HTTP, on a foreign project."""

import hashlib
import json
import os
import pty
import shutil
import sqlite3
import subprocess
import sys
from typing import Any

import httpx
import pytest

from tests.support.proxy import Proxy
from tests.support.site import Site, tree

pytestmark = pytest.mark.slow  # each starts processes


def test_every_file_is_moved_and_every_row_names_its_object(site: Site):
    site.with_files("leaflets/plan.pdf", "leaflets/map of the zoo.pdf")
    site.guide("leaflets/guía.pdf", "covers/jirafa.png", retired=True)
    site.file("leaflets/guía.pdf"), site.file("covers/jirafa.png")

    said = site.run()

    plan, plain, renamed = site.names()
    assert (plan, plain) == ("leaflets/plan.pdf", "leaflets/map of the zoo.pdf")
    assert renamed.startswith("leaflets/guia-")
    assert site.target() == {
        "leaflets/plan.pdf": b"leaflets/plan.pdf",
        "leaflets/map of the zoo.pdf": b"leaflets/map of the zoo.pdf",
        renamed: "leaflets/guía.pdf".encode(),
        "covers/jirafa.png": b"covers/jirafa.png",
    }
    assert "4 moved" in said
    assert str(site.journal) in said
    assert site.sql("select distinct touched_at from foreign_guide") == [("2001-02-03 04:05:06",)]


def test_nothing_is_ever_written_by_a_dry_run_and_it_names_all_there_is(site: Site):
    site.make_bucket("small" + site.bucket, file_size_limit=4, allowed_mime_types=["text/plain"])
    site.with_files("leaflets/plan.pdf", "leaflets/guía.pdf", "same.pdf")
    site.guide("leaflets/missing.pdf"), site.guide("../secret.pdf"), site.guide("same.pdf")
    (
        site.file("orphan.pdf"),
        site.file("twice.pdf"),
        site.file("plans/long.txt"),
        site.file("plans/a.pdf", b"pdf"),
    )
    site.sql("insert into foreign_recording values ('00000000000000000000000000000001', 'twice.pdf')")
    site.sql("insert into annex_guide (plan) values ('plans/long.txt'), ('plans/a.pdf')")
    before, target = tree(site.folder), tree(site.server.media)

    said = site.run(
        "--dry-run",
        "--report=report.json",
        "--backup",
        code=1,
        environment={"MIGRATE_BUCKETS": f'{{"annex.Guide.plan": "small{site.bucket}"}}'},
    )

    assert tree(site.folder) == before
    assert tree(site.server.media) == target
    [row] = [line for line in said.splitlines() if "foreign.Guide.leaflet" in line and "│" in line]
    assert [cell.strip() for cell in row.split("│")][3:6] == ["3", "43 B", "1"]
    assert "1 missing" in row
    assert "1 outside" in row
    assert "'leaflets/guía.pdf' → 'leaflets/guia-" in said
    assert "missing: foreign.Guide.leaflet 4: 'leaflets/missing.pdf' is not on this disk." in said
    assert "'../secret.pdf' is outside MEDIA_ROOT" in said
    assert "too_large: annex.Guide.plan 1: 'plans/long.txt' has 14 bytes" in said
    assert "refused_type: annex.Guide.plan 2: 'plans/a.pdf' is application/pdf" in said
    assert "orphan: 'orphan.pdf'" in said
    assert said.count("orphan:") == 1
    assert not site.journal.exists()


def test_names_that_would_become_one_are_told(site: Site):
    site.with_files("a-guia.pdf")
    site.with_files("guía.pdf")
    new = site.run("--dry-run").split("→")[1].split("'")[1]
    site.with_files(new)

    assert f"both become {new!r}" in site.run("--dry-run", code=1)


def test_a_second_run_has_nothing_to_do(site: Site):
    site.with_files("leaflets/plan.pdf", "leaflets/guía.pdf")
    site.run()
    before = site.dump(), site.target(), site.disk()

    with Proxy(site.server.url) as proxy:
        again = site.run(environment={"FOREIGN_URL": site.server.url})
        site.journal.unlink()
        without_journal = site.run(environment={"FOREIGN_URL": proxy.url})

    assert "2 done" in again
    assert "2 there" in without_journal
    assert (site.dump(), site.target(), site.disk()) == before


def test_what_came_in_between_is_taken_by_a_last_pass(site: Site):
    site.with_files("leaflets/plan.pdf")
    site.run()
    site.with_files("leaflets/new.pdf")

    assert "1 done, 1 moved" in site.run()
    site.is_moved()


def test_the_way_back_restores_database_and_disk_to_the_byte(site: Site):
    site.with_files("plan.pdf", "guía.pdf", "año/niño #1.pdf", "guía.pdf", "日本/日本.pdf", "gui\u0301a.pdf")
    before = site.dump(), site.disk()
    site.run()
    assert all(name.isascii() for name in site.names())
    site.is_moved()

    said = site.run("--rollback", str(site.journal))

    assert "5 put back, 0 left" in said
    assert (site.dump(), site.disk()) == before
    assert "0 put back, 0 left" in site.run("--rollback", str(site.journal))
    assert "there" in site.run()
    site.is_moved()


def test_rows_that_changed_since_are_left_alone_and_named_on_the_way_back(site: Site):
    changed, _, gone = site.with_files("guía.pdf", "año.pdf", "plan.pdf")
    site.run()
    site.file("other.pdf")
    site.sql("update foreign_guide set leaflet = 'other.pdf' where id = ?", changed)
    site.sql("delete from foreign_guide where id = ?", gone)

    said = site.run("--rollback", str(site.journal))

    assert "1 put back, 2 left" in said
    assert f"changed: foreign.Guide {changed} has changed since" in said
    assert f"changed: foreign.Guide {gone} has changed since" in said
    assert site.names() == ["other.pdf", "año.pdf"]


def test_only_what_verifies_is_deleted_here(site: Site):
    site.with_files("plan.pdf", "guía.pdf", "spoilt.pdf", "edited.pdf", "unmoved.pdf")
    site.run("--exclude", "unmoved*")
    (site.server.media / site.bucket / "spoilt.pdf").write_bytes(b"spoilt.pdx")
    site.file("edited.pdf", b"new")
    site.sql("insert into foreign_recording values ('00000000000000000000000000000001', 'plan.pdf')")

    unanswered = site.run("--purge-source", code=2)
    said = site.run("--purge-source", "--yes", code=1)

    assert "--yes" in unanswered
    assert "1 deleted, 3 left as they are" in said
    assert site.disk().keys() == {"plan.pdf", "spoilt.pdf", "edited.pdf", "unmoved.pdf"}
    assert "unproved" in said
    assert "needed" in said
    assert "1 moved, 3 done" not in site.run("--exclude", "unmoved*", code=1)


def test_rollback_and_purge_refuse_options_that_would_limit_a_move(site: Site):
    """They would put back, or delete, everything."""
    site.with_files("plan.pdf", "guía.pdf")
    site.run()
    before = site.dump(), site.disk()
    modes = {"--rollback": [str(site.journal)], "--purge-source": ["--yes"]}
    options = (
        ["--dry-run"],
        ["--model", "foreign.Guide"],
        ["--limit", "1"],
        ["--exclude", "a*"],
        ["--backup"],
        ["--report", "r.json"],
    )
    cases = [(mode, option) for mode in modes for option in options]

    results = site.run_all(*(([mode, *modes[mode], *option], {}) for mode, option in cases))

    for (mode, option), (code, said) in zip(cases, results, strict=True):
        assert code == 2, said
        assert f"{mode} cannot be combined with {option[0]}." in said
    assert (site.dump(), site.disk()) == before


def test_nobody_goes_back_and_clears_up_at_once(site: Site):
    site.with_files("plan.pdf")
    site.run()

    said = site.run("--rollback", str(site.journal), "--purge-source", "--yes", code=2)

    assert "--rollback cannot be combined with --purge-source." in said
    assert site.disk().keys() == {"plan.pdf"}


def test_what_was_put_back_is_not_cleared_up_until_it_is_moved_again(site: Site):
    site.with_files("plan.pdf", "guía.pdf")
    site.run()
    site.run("--rollback", str(site.journal))

    said = site.run("--purge-source", "--yes")

    assert "since the last rollback" in said
    assert site.disk().keys() == {"plan.pdf", "guía.pdf"}
    site.run()
    assert "2 deleted" in site.run("--purge-source", "--yes")
    assert site.disk() == {}


def test_a_store_that_keeps_its_files_in_this_media_root_is_no_target(site: Site):
    """Every file would be there already, and clearing up would take the only copy."""
    bucket = site.server.media / site.bucket
    bucket.mkdir()
    (bucket / "plan.pdf").write_bytes(b"plan.pdf")
    site.guide("plan.pdf")
    environment = {"FOREIGN_MEDIA": str(site.server.media)}

    said = site.run(environment=environment, code=2)
    site.journal.write_text(f'{{"journal": "migrate_to_supabase", "target": "{site.server.url}"}}\n')
    line = {**LINE, "bucket": site.bucket, "sha256": hashlib.sha256(b"plan.pdf").hexdigest()}
    with site.journal.open("a") as journal:
        journal.write(json.dumps(line) + "\n")
    purged = site.run("--purge-source", "--yes", environment=environment, code=2)

    assert "uses the same MEDIA_ROOT" in said
    assert "uses the same MEDIA_ROOT" in purged
    assert tree(bucket) == {"plan.pdf": b"plan.pdf"}


def test_a_copy_that_has_the_times_of_the_files_is_another_store(site: Site):
    """As `rsync --times` leaves it."""
    site.with_files("plan.pdf")
    bucket = site.server.media / site.bucket
    bucket.mkdir()
    shutil.copy2(site.media / "plan.pdf", bucket)

    assert "1 there" in site.run()


LINE = {
    "state": "done",
    "model": "foreign.Guide",
    "field": "leaflet",
    "pk": ["1"],
    "old": "plan.pdf",
    "new": "plan.pdf",
    "size": 8,
    "mtime_ns": 0,
}


def test_what_was_sent_to_the_bucket_since_the_switch_is_not_missing(site: Site):
    site.with_files("plan.pdf")
    site.run()
    site.object("sent.pdf", b"straight from a client")
    site.guide("sent.pdf")

    looked = site.run("--dry-run")
    said = site.run()
    back = site.run("--rollback", str(site.journal))

    [row] = [line for line in looked.splitlines() if "foreign.Guide.leaflet" in line and "│" in line]
    assert [cell.strip() for cell in row.split("│")][3:8] == ["0", "0 B", "0", "1", "1"]
    assert "1 done, 1 remote" in said
    assert "nothing was left to move" in said
    assert "foreign.Guide.leaflet 2: 'sent.pdf' is not on this disk" in back


def test_a_project_of_ones_own_runs_on_supabase_afterwards(site: Site):
    site.with_files("plan.pdf", "guía.pdf")
    site.run()
    shutil.rmtree(site.media)
    program = (
        "import django; django.setup()\n"
        "from django.core.files.base import ContentFile\n"
        "from tests.foreign.models import Recording\n"
        "from tests.foreign.models import Guide\n"
        "for guide in Guide.objects.all(): print(guide.leaflet.url)\n"
        "recording = Recording()\n"
        "recording.audio.save('niño.mp3', ContentFile(b'song'))\n"
        "print(recording.audio.url)\n"
    )

    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=site.environment(DJANGO_SETTINGS_MODULE="tests.foreign.switched"),
        capture_output=True,
        text=True,
        check=True,
    )

    read = [httpx.get(url).raise_for_status().content for url in ran.stdout.split()]
    assert read == [b"plan.pdf", "guía.pdf".encode(), b"song"]


def test_a_no_deletes_nothing(site: Site):
    site.with_files("plan.pdf")
    site.run()

    asked = site.start("--purge-source", stdin=subprocess.PIPE)
    said, _ = asked.communicate("n\n", timeout=60)

    assert (asked.returncode, site.disk().keys()) == (0, {"plan.pdf"})
    assert "nothing was deleted" in said


@pytest.mark.parametrize(
    ("policy", "names", "code"),
    [("skip", ["taken.pdf", "free.pdf"], 1), ("rename", ["taken-2.pdf", "free.pdf"], 0)],
)
def test_another_object_of_the_name_is_never_replaced(site: Site, policy: str, names: list[str], code: int):
    site.with_files("taken.pdf", "free.pdf")
    site.object("taken.pdf", b"theirs")

    said = site.run("--on-conflict", policy, code=code)

    assert site.names() == names
    assert site.target()["taken.pdf"] == b"theirs"
    assert site.target()["free.pdf"] == b"free.pdf"
    assert all((site.media / name).read_bytes() in (b"taken.pdf", b"free.pdf") for name in names)
    assert ("conflict: foreign.Guide.leaflet 1" in said) == bool(code)
    assert len(site.target()) == (2 if code else 3)


def test_a_conflict_can_end_it(site: Site):
    site.with_files("taken.pdf", *(f"{number}.pdf" for number in range(20)))
    site.object("taken.pdf", b"theirs")

    said = site.run("--on-conflict", "fail", "--jobs", "1", code=1)

    assert "fix the failures above" in said
    assert len(site.target()) < 10


def test_an_object_that_is_there_with_the_same_bytes_is_done(site: Site):
    site.with_files("plan.pdf")
    site.object("plan.pdf", b"plan.pdf")

    assert "1 there" in site.run()
    assert site.target() == {"plan.pdf": b"plan.pdf"}


def test_rows_and_fields_that_share_a_file_send_it_once(site: Site):
    site.with_files("guía.pdf")
    for _ in range(30):
        site.guide("guía.pdf", "guía.pdf")

    with Proxy(site.server.url) as proxy:
        said = site.run("--jobs", "3", environment={"FOREIGN_URL": proxy.url})

    assert sum(method == "POST" and "/object/move" not in path for method, path in proxy.calls) == 1
    assert "61" in said
    site.is_moved()
    assert site.sql("select distinct cover from foreign_guide where cover is not null") == [
        (site.names()[0],)
    ]
    assert len(site.target()) == 1


def test_hostile_names_are_reported_and_never_followed(site: Site):
    secret = site.folder / "secret.pdf"
    secret.write_bytes(b"secret")
    site.media.joinpath("link.pdf").symlink_to(secret)
    site.media.joinpath("folder").mkdir()
    site.media.joinpath("away").symlink_to(site.folder)
    hostile = [
        "../secret.pdf",
        str(secret),
        "a\0b",
        "link.pdf",
        "away/secret.pdf",
        "folder",
        "x" * 5000,
        "a/../link.pdf",
    ]
    for name in hostile:
        site.guide(name)
    site.with_files("plan.pdf")

    said = site.run(code=1)

    assert site.target() == {"plan.pdf": b"plan.pdf"}
    assert site.names() == [*hostile, "plan.pdf"]
    assert "1 moved" in said
    assert said.count("is outside MEDIA_ROOT") >= 6
    assert "Traceback" not in said


def test_odd_names_become_keys_that_fit_their_column(site: Site):
    long = "ä" * 90 + ".pdf"  # as long as the column of 100 letters nearly allows
    site.with_files(long, "a//b.pdf", "x#1.pdf", "[1].pdf", "100%.pdf", "~.pdf", "españa/ñ/plan")
    site.file("日" * 30 + ".mp3")
    site.sql(
        "insert into foreign_recording values (?, ?)", "00000000000000000000000000000001", "日" * 30 + ".mp3"
    )

    site.run()

    assert max(map(len, site.names())) <= 100
    [(audio,)] = site.sql("select audio from foreign_recording")
    assert len(audio) <= 40
    assert audio.endswith(".mp3")
    assert site.target().keys() == {*site.names(), audio}
    for name in site.names():
        assert (site.media / name).read_bytes() == site.target()[name]


def test_every_kind_of_primary_key_finds_its_way_back(site: Site):
    site.file("ä.pdf"), site.file("ö.mp3")
    site.sql("insert into foreign_page (book, number, scan) values ('fish', 3, 'ä.pdf')")
    site.sql("insert into foreign_recording values ('00000000000000000000000000000001', 'ö.mp3')")
    before = site.dump()

    assert "2 moved" in site.run()
    assert site.dump() != before
    assert "2 put back, 0 left" in site.run("--rollback", str(site.journal))
    assert site.dump() == before


def test_rows_in_several_databases_are_changed_where_they_are(site: Site):
    annex = site.folder / "annex.sqlite3"
    environment = {"FOREIGN_ANNEX": str(annex)}
    command = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "--database", "annex", "-v0"]
    subprocess.run(command, env=site.environment(**environment), check=True)
    site.with_files("guía.pdf")
    site.file("año.pdf")
    with sqlite3.connect(annex) as database:
        database.execute("insert into annex_guide (plan) values ('año.pdf')")

    site.run(environment=environment)
    moved = database.execute("select plan from annex_guide").fetchall()
    said = site.run("--rollback", str(site.journal), environment=environment)

    assert moved[0][0].startswith("ano-")
    assert "2 put back, 0 left" in said
    assert database.execute("select plan from annex_guide").fetchall() == [("año.pdf",)]
    database.close()


def test_only_the_wanted_files_are_moved(site: Site):
    site.with_files("a.pdf", "b.pdf", "c.pdf", "draft-d.pdf")
    site.file("plan.pdf")
    site.sql("insert into annex_guide (plan) values ('plan.pdf')")

    for moved in ({"a.pdf", "b.pdf"}, {"a.pdf", "b.pdf", "c.pdf"}):
        site.run("--model", "foreign.guide.leaflet", "--exclude", "draft*", "--limit", "2")
        assert site.target().keys() == moved


def test_a_rate_is_kept_to_by_all_jobs(site: Site):
    """How long it takes is asked of a clock of its own, in `test_transfer_pace.py`."""
    site.with_files("a.pdf", "b.pdf", "c.pdf")

    site.run("--bwlimit", "1k", "--jobs", "3")

    site.is_moved()


#: Arguments, changed settings, and what the message must say.
REFUSED: list[tuple[list[str], dict[str, Any], str]] = [
    (["--model", "Guide"], {}, "annex.Guide, foreign.Guide"),
    (["--model", "Elephant"], {}, "annex.Guide, foreign.Guide, foreign.Page, foreign.Recording"),
    ([], {"MIGRATE_BUCKETS": {"Nope.x": "b"}}, "MIGRATE_BUCKETS"),
    (
        [],
        {"SUPABASE_STORAGE_BUCKET": "nobody-made-it"},
        "no bucket nobody-made-it: run `manage.py setup_supabase`",
    ),
    ([], {"SUPABASE_SECRET_KEY": "sb_secret_wrong"}, "SUPABASE_SECRET_KEY"),
    ([], {"SUPABASE_SECRET_KEY": ""}, "SUPABASE_SECRET_KEY"),
    ([], {"SUPABASE_URL": "http://127.0.0.1:9"}, "did not answer"),
    ([], {"MEDIA_ROOT": "/nowhere/media"}, "MEDIA_ROOT"),
    (["--jobs", "0"], {}, "--jobs"),
    (["--bwlimit", "fast"], {}, "5M"),
    (["--backup", "/proc/backup"], {}, "Nothing was moved"),
    (["--journal", "/proc/journal"], {}, "--journal"),
    (["--report", "/proc/report"], {}, "--report"),
    (["--rollback", "nowhere.journal"], {}, "nowhere.journal"),
    (["--purge-source", "--yes", "--journal", "nowhere.journal"], {}, "nowhere.journal"),
]


def test_it_refuses_to_start_and_says_the_cure(site: Site):
    site.with_files("plan.pdf")

    results = site.run_all(*((arguments, settings) for arguments, settings, _ in REFUSED))

    for (_, settings, cure), (code, said) in zip(REFUSED, results, strict=True):
        assert code == 2, said
        assert cure in said
        assert "Traceback" not in said
        key = settings.get("SUPABASE_SECRET_KEY")
        assert not key or key not in said
    assert site.target() == {}


def test_a_refusal_ends_the_process_with_its_code(site: Site):
    site.with_files("plan.pdf")

    said = site.run(environment={"FOREIGN_KEY": "sb_secret_wrong"}, code=2)

    assert "SUPABASE_SECRET_KEY" in said
    assert "Traceback" not in said
    assert site.target() == {}


def test_the_journal_of_another_project_is_refused(site: Site):
    site.with_files("plan.pdf")
    site.run()
    with Proxy(site.server.url) as another:
        for arguments in ([], ["--rollback", str(site.journal)], ["--purge-source", "--yes"]):
            said = site.run(*arguments, environment={"FOREIGN_URL": another.url}, code=2)
            assert f"is the journal of a move to {site.server.url}" in said
    site.journal.write_text("these are my notes\n")

    assert "is not a journal of this command" in site.run(code=2)
    assert site.journal.read_text() == "these are my notes\n"


def test_the_limits_of_the_bucket_count(site: Site):
    site.make_bucket("tight" + site.bucket, file_size_limit=5, allowed_mime_types=["text/plain", "image/*"])
    (
        site.file("a.txt", b"small"),
        site.file("b.txt", b"larger"),
        site.file("c.pdf", b"pdf"),
        site.file("d.png", b"png"),
    )
    for name in ("a.txt", "b.txt", "c.pdf", "d.png"):
        site.guide(name)

    said = site.run("--report", "r.json", code=1, environment={"FOREIGN_BUCKET": "tight" + site.bucket})

    assert site.target("tight" + site.bucket).keys() == {"a.txt", "d.png"}
    assert "too_large: foreign.Guide.leaflet 2" in said
    assert "refused_type: foreign.Guide.leaflet 3" in said
    report = json.loads((site.folder / "r.json").read_text())
    assert report["counts"] == {"moved": 2, "too_large": 1, "refused_type": 1}
    assert sorted((each["id"], each["name"], each["reason"]) for each in report["failed"]) == [
        ("2", "b.txt", "too_large"),
        ("3", "c.pdf", "refused_type"),
    ]


def test_a_backup_is_made_before_the_first_file_leaves(site: Site):
    site.with_files("plan.pdf", "a/guía.pdf", "plan.pdf")
    site.guide("missing.pdf")

    said = site.run("--backup", code=1)

    [place] = (site.folder / "media_backup").iterdir()
    assert tree(place) == {"plan.pdf": b"plan.pdf", "a/guía.pdf": "a/guía.pdf".encode()}
    assert f"backup of 2 files in {place}" in said


def test_content_types_are_told(site: Site):
    site.with_files("plan.pdf", "cover.png", "guía.mp3", "what.is-it")
    site.run()

    types = {}
    for name in site.names():
        answer = httpx.get(
            f"{site.server.url}/storage/v1/object/info/{site.bucket}/{name}",
            headers={"Authorization": f"Bearer {site.key}"},
        )
        types[name.rpartition(".")[2]] = answer.json()["content_type"]
    assert types == {
        "pdf": "application/pdf",
        "png": "image/png",
        "mp3": "audio/mpeg",
        "is-it": "application/octet-stream",
    }


def test_a_log_has_plain_lines_and_a_terminal_a_bar(site: Site):
    site.with_files("plan.pdf")
    site.guide("missing.pdf")

    logged = site.run(code=1)
    site.journal.unlink()
    shown = on_a_terminal(site)

    assert "\x1b" not in logged
    assert "failed: foreign.Guide.leaflet 2: 'missing.pdf' is not on this disk." in logged
    assert "━" in shown
    assert "2/2" in shown
    assert "B/s" in shown


def on_a_terminal(site: Site) -> str:
    ours, theirs = pty.openpty()
    running = site.start(stdout=theirs, stderr=theirs, stdin=theirs, text=False)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is gone
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert running.wait(timeout=60) == 1
    return shown.decode()
