"""`migrate_to_supabase` when things go wrong: the network, the disk, other writers, power cuts, Ctrl-C."""

import itertools
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from storage.supabase.client import ATTEMPTS
from tests.support import waiting
from tests.support.proxy import Fault, Plan, Proxy, delayed
from tests.support.server import ROOT, Server
from tests.support.site import Site

pytestmark = pytest.mark.slow  # each starts processes
wait_until = partial(waiting.wait_until, interval=0.005)  # to be there before it is over

NAMES = ["plan.pdf", "guía.pdf", "año/niño.pdf", "map.pdf"]
# Root without the right to pass over permissions.
WITHOUT_RIGHTS = [
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
]


def once(fault: Fault, wanted: Callable[[str, str], bool]) -> Plan:
    """Goes wrong at the first such call only."""
    left = [fault]
    return lambda number, method, path: left.pop() if left and wanted(method, path) else None


def is_upload(method: str, path: str) -> bool:
    return method == "POST" and "/object/b" in path


def is_move(method: str, path: str) -> bool:
    return path.endswith("/object/move")


def is_reading(method: str, path: str) -> bool:
    return method == "GET" and "/object/authenticated/" in path


# --- The network ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [is_upload, is_reading, is_move])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=429, headers={"Retry-After": "1"}),
        Fault(status=503),
        Fault(lost=True),
        Fault(cut=True),
        Fault(corrupt=True),
    ],
    ids=["429", "503", "answer lost", "answer cut", "corrupted"],
)
def test_trouble_of_the_storage_is_outlived(site: Site, wanted, fault: Fault):
    site.with_files(*NAMES)

    with Proxy(site.server.url, once(fault, wanted)) as proxy:
        site.run("--jobs", "1", environment={"FOREIGN_URL": proxy.url})

    site.is_moved()


def test_what_the_storage_asks_for_is_waited_for(site: Site):
    site.with_files("plan.pdf")
    asked: list[float] = []

    def plan(number: int, method: str, path: str) -> Fault | None:
        if is_upload(method, path):
            asked.append(time.monotonic())
            return Fault(status=429, headers={"Retry-After": "6"}) if len(asked) == 1 else None
        return None

    with Proxy(site.server.url, plan) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})

    assert len(asked) == 2
    assert asked[1] - asked[0] >= 6
    site.is_moved()


@pytest.mark.parametrize(("jobs", "sent", "in_all"), [("1", 1, 1), ("4", 4, 6)])
def test_no_more_files_are_on_the_way_than_was_asked(site: Site, jobs: str, sent: int, in_all: int):
    """Those that are read back or moved are a half more, and only where there is more than one."""
    site.with_files(*(f"{number}.pdf" for number in range(30)))
    now, most, lock = Counter[bool](), Counter[str](), threading.Lock()

    def plan(number: int, method: str, path: str) -> Fault | None:
        upload = is_upload(method, path)
        with lock:
            now[upload] += 1
            most["sent"] = max(most["sent"], now[True])
            most["in all"] = max(most["in all"], now.total())
        time.sleep(0.1)
        with lock:
            now[upload] -= 1
        return None

    with Proxy(site.server.url, plan) as proxy:
        site.run("--jobs", jobs, environment={"FOREIGN_URL": proxy.url})

    assert (most["sent"], most["in all"]) == (sent, in_all)


def test_a_corrupted_object_never_stays(site: Site):
    site.with_files("plan.pdf")

    def plan(number: int, method: str, path: str) -> Fault | None:
        return Fault(corrupt=True) if is_upload(method, path) else None

    with Proxy(site.server.url, plan) as proxy:
        running = site.start(environment={"FOREIGN_URL": proxy.url})
        wait_until(lambda: sum(itertools.starmap(is_upload, proxy.calls)) > 1)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)

    assert running.returncode == 1
    assert "differs from the file that was sent" in said
    assert site.target() == {}
    assert site.lines() == []


def test_a_key_that_is_revoked_on_the_way_ends_it_with_the_cure(site: Site):
    site.with_files(*(f"{number}.pdf" for number in range(60)))

    def plan(number: int, method: str, path: str) -> Fault | None:
        return Fault(status=403) if number > 20 else None

    with Proxy(site.server.url, plan) as proxy:
        said = site.run("--jobs", "2", environment={"FOREIGN_URL": proxy.url}, code=1)
        calls = len(proxy.calls)

    assert "SUPABASE_SECRET_KEY" in said
    assert calls < 60
    site.journal.unlink()
    site.run()
    site.is_moved()


def test_an_outage_is_waited_out(site: Site):
    """Longer than the attempts at a call last: those at the file begin again."""
    site.with_files(*NAMES)
    began: list[float] = []

    def plan(number: int, method: str, path: str) -> Fault | None:
        if not is_upload(method, path):
            return None
        began.append(time.monotonic())
        return Fault(status=503) if began[-1] - began[0] < 8 else None

    with Proxy(site.server.url, plan) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})

    assert len(began) > len(NAMES) * ATTEMPTS
    site.is_moved()


# --- Power cuts -------------------------------------------------------------------------------------------


def check_after(site: Site, before: list[str]) -> None:
    """Every row names a file that the running site has, and a second run ends it; then all the way back."""
    contents = {name: name.encode() for name in NAMES}
    assert [(site.media / name).read_bytes() for name in site.names()] == list(contents.values())
    said = site.run()
    assert "Traceback" not in said
    site.is_moved()
    moved = [(line["old"], line["new"]) for line in site.lines() if line["state"] == "done"]
    assert len(moved) == len(set(moved)) == len(NAMES)
    site.run("--rollback", str(site.journal))
    assert site.dump() == before
    assert site.disk() == contents


@pytest.mark.parametrize(
    ("number", "side"), [(number, ("before", "after")[number // 2 % 2]) for number in range(1, 14)]
)
def test_killed_at_any_call_and_run_again(site: Site, number: int, side: str):
    """Every kind of call is made for four files, and so with both sides."""
    site.with_files(*NAMES)
    before = site.dump()
    running = []

    def plan(call: int, method: str, path: str) -> Fault | None:
        return Fault(**{side: running[0].kill}) if call == number else None

    with Proxy(site.server.url, plan) as proxy:
        environment = {"FOREIGN_URL": proxy.url}
        running.append(site.start("--jobs", "2", environment=environment))
        running[0].communicate(timeout=60)
        assert running[0].returncode == -signal.SIGKILL
        retarget(site, proxy.url)

    check_after(site, before)


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_instant_and_run_again(site: Site, seed: int):
    """Not at calls, but between them: while rows, names and journal change."""
    site.with_files(*NAMES)
    before = site.dump()
    delay = random.Random(seed).uniform(0, 0.06)
    running = site.start("--jobs", "1")
    wait_until(lambda: site.journal.exists() or running.poll() is not None)

    time.sleep(delay)
    running.kill()
    running.communicate()

    check_after(site, before)


def test_a_journal_that_breaks_off_anywhere_is_understood(site: Site):
    site.with_files("guía.pdf", "plan.pdf")
    before = site.dump()
    site.run()
    whole = site.journal.read_bytes()

    for length in (1, 20, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 150, len(whole) - 1):
        site.journal.write_bytes(whole[:length])
        site.run()
        site.is_moved()
        assert len(site.target()) == 2
    site.journal.write_bytes(whole[: len(whole) - 1])
    site.run("--rollback", str(site.journal))
    assert site.dump() == before


def test_two_runs_at_once_keep_out_of_each_others_way(site: Site):
    site.with_files(*NAMES)
    release = threading.Event()

    def plan(number: int, method: str, path: str) -> Fault | None:
        return Fault(before=lambda: release.wait(60) and None) if is_upload(method, path) else None

    with Proxy(site.server.url, plan) as slow:
        first = site.start(environment={"FOREIGN_URL": slow.url})
        wait_until(lambda: any(itertools.starmap(is_upload, slow.calls)))
        second = site.run(environment={"FOREIGN_URL": slow.url}, code=2)
        release.set()
        said, _ = first.communicate(timeout=60)

    assert "is being written by another run" in second
    assert first.returncode == 0, said
    site.is_moved()


# --- Ctrl-C -----------------------------------------------------------------------------------------------


def test_ctrl_c_ends_what_is_in_flight_and_says_how_to_go_on(site: Site):
    site.with_files(*(f"{number}-ñ.pdf" for number in range(60)))

    with Proxy(site.server.url, delayed(0.1)) as slow:
        running = site.start("--jobs", "2", environment={"FOREIGN_URL": slow.url})
        wait_until(lambda: len(site.lines()) > 4)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=30)
        retarget(site, slow.url)

    assert running.returncode == 1
    assert "run the same command again" in said
    moved = [name for name in site.names() if name.isascii()]
    assert 2 <= len(moved) < 60
    assert site.target().keys() == set(moved)
    site.run()
    site.is_moved()


def test_ctrl_c_ends_in_time_although_the_storage_hangs(site: Site):
    site.with_files(*NAMES)
    waits = []

    def plan(number: int, method: str, path: str) -> Fault | None:
        return Fault(before=lambda: waits.append(time.sleep(19))) if is_upload(method, path) else None

    with Proxy(site.server.url, plan) as hanging:
        running = site.start(environment={"FOREIGN_URL": hanging.url})
        wait_until(lambda: any(itertools.starmap(is_upload, hanging.calls)))
        asked_at = time.monotonic()
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=60)
        assert time.monotonic() - asked_at < 30
        retarget(site, hanging.url)

    assert running.returncode == 1
    assert "run the same command again" in said
    site.run()
    site.is_moved()


def test_a_second_ctrl_c_ends_it_at_once(site: Site):
    site.with_files(*NAMES)
    release = threading.Event()
    with Proxy(site.server.url, lambda *call: Fault(before=lambda: hang(release, call))) as hanging:
        running = site.start(environment={"FOREIGN_URL": hanging.url})
        wait_until(lambda: any(itertools.starmap(is_upload, hanging.calls)))
        running.send_signal(signal.SIGINT)
        time.sleep(0.5)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=10)
        release.set()
        retarget(site, hanging.url)

    assert running.returncode == 1
    assert "Stopped immediately. Run the same command again" in said
    assert "Traceback" not in said
    site.run()
    site.is_moved()


def hang(release: threading.Event, call: tuple[int, str, str]) -> None:
    if is_upload(*call[1:]):
        release.wait(60)


# --- Other writers ----------------------------------------------------------------------------------------


def test_a_row_that_is_edited_while_its_file_travels_keeps_the_edit(site: Site):
    [edited, gone, _] = site.with_files("guía.pdf", "año.pdf", "ñu.pdf")
    site.file("new.pdf")

    def edit() -> None:
        site.sql("update foreign_guide set leaflet = 'new.pdf' where id = ?", edited)
        site.sql("delete from foreign_guide where id = ?", gone)
        (site.media / "año.pdf").unlink()

    with Proxy(site.server.url, once(Fault(before=edit), is_move)) as proxy:
        said = site.run("--jobs", "1", environment={"FOREIGN_URL": proxy.url})
        retarget(site, proxy.url)

    assert "changed" in said
    assert site.names()[0] == "new.pdf"
    site.run()
    for name in site.names():
        assert site.target()[name] == (site.media / name).read_bytes()


def test_a_file_that_is_replaced_on_its_way_is_not_mixed(site: Site):
    site.with_files("plan.pdf")

    def replace() -> None:
        (site.media / "new").write_bytes(b"a longer text than before")
        (site.media / "new").replace(site.media / "plan.pdf")

    with Proxy(site.server.url, once(Fault(before=replace), is_upload)) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})
        retarget(site, proxy.url)

    assert site.target() == {"plan.pdf": b"plan.pdf"}
    assert "conflict: foreign.Guide.leaflet 1" in site.run(code=1)
    site.run("--on-conflict", "rename")
    assert site.names() == ["plan-2.pdf"]
    assert site.target()["plan-2.pdf"] == b"a longer text than before"
    assert (site.media / "plan-2.pdf").read_bytes() == b"a longer text than before"


def test_the_site_reads_every_row_before_during_and_after(site: Site):
    site.with_files(*NAMES)
    looks = []

    def look() -> None:
        looks.append([(site.media / name).read_bytes().decode() for name in site.names()])

    with Proxy(site.server.url, lambda *call: Fault(before=look, after=look)) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})
    look()

    assert len(looks) > 20
    assert all(found == NAMES for found in looks)


# --- The disk ---------------------------------------------------------------------------------------------

as_a_plain_user = pytest.mark.skipif(
    os.geteuid() == 0 and not shutil.which("setpriv"), reason="root reads and writes everything"
)


@as_a_plain_user
def test_what_cannot_be_read_is_named(site: Site):
    site.with_files("plan.pdf", "locked.pdf")
    (site.media / "locked.pdf").chmod(0)

    looked = site.run("--dry-run", prefix=prefix(), code=1)
    said = site.run(prefix=prefix(), code=1)
    backed = site.run("--backup", prefix=prefix(), code=2)

    assert site.target() == {"plan.pdf": b"plan.pdf"}
    for output in (looked, said, backed):
        assert "'locked.pdf' cannot be read" in output


@as_a_plain_user
def test_on_a_read_only_disk_rows_change_only_where_the_site_can_follow(site: Site):
    site.with_files("plan.pdf", "guía.pdf")
    site.media.chmod(0o555)

    said = site.run(prefix=prefix(), code=1)

    assert site.names() == ["plan.pdf", "guía.pdf"]
    assert "disk: foreign.Guide.leaflet 2: 'guia-" in said
    site.media.chmod(0o755)
    site.run(prefix=prefix())
    site.is_moved()


def test_a_disk_that_knows_no_second_names_gets_copies(site: Site):
    site.with_files(*NAMES)
    before = site.dump(), site.disk()
    patch = site.folder / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import errno, os\n"
        "def link(*args, **options):\n"
        "    raise OSError(errno.EPERM, 'as vfat says')\n"
        "os.link = link\n"
    )
    site.run(environment={"PYTHONPATH": f"{patch}:{ROOT}"})

    site.is_moved()
    renamed = next(name for name in site.names() if name.startswith("guia-"))
    assert not (site.media / renamed).samefile(site.media / "guía.pdf")
    site.run("--rollback", str(site.journal))
    assert (site.dump(), site.disk()) == before


# --- The database -----------------------------------------------------------------------------------------


def test_a_row_that_refuses_to_change_is_named_and_the_others_are_moved(site: Site):
    site.with_files(*NAMES)
    site.sql(
        "create trigger stubborn before update on foreign_guide when old.leaflet = 'guía.pdf'"
        " begin select raise(abort, 'no, I will not'); end"
    )

    said = site.run(code=1)

    assert "database: foreign.Guide.leaflet 2: The row cannot be changed: no, I will not" in said
    assert site.names()[1] == "guía.pdf"
    assert [name.isascii() for name in site.names()] == [True, False, True, True]
    site.sql("drop trigger stubborn")
    site.run()
    site.is_moved()


def test_a_table_that_is_not_there_is_told_at_once(site: Site):
    site.with_files(*NAMES)
    site.sql("alter table foreign_guide rename to elsewhere")

    said = site.run(code=2)

    assert "foreign.Guide.leaflet has no table: run migrate, or select others with --model." in said
    assert "Traceback" not in said
    site.sql("alter table elsewhere rename to foreign_guide")
    site.run()
    site.is_moved()


def prefix() -> list[str]:
    return WITHOUT_RIGHTS if os.geteuid() == 0 else []


# --- Large, and many --------------------------------------------------------------------------------------


def test_a_file_of_several_parts_arrives_whole(site: Site):
    content = random.Random(1).randbytes(14_000_000)
    site.file("film.mp4", content)
    site.guide("film.mp4")

    def broken(method: str, path: str) -> bool:
        return method == "PATCH"

    with Proxy(site.server.url, once(Fault(lost=True), broken)) as proxy:
        site.run(environment={"FOREIGN_URL": proxy.url})

    assert any(method == "PATCH" for method, _ in proxy.calls)
    assert site.target() == {"film.mp4": content}


def test_a_large_file_and_thousands_of_small_ones(tmp_path: Path, template: Path):
    with Server(tmp_path, STORAGE_FILE_SIZE_LIMIT=str(10**9)) as server:
        key = server.service_key()
        (tmp_path / "files").mkdir()
        site = Site(tmp_path / "files", template, server, key, "many")
        site.file("film.mp4", random.Random(2).randbytes(200_000_000))
        site.guide("film.mp4")
        site.with_files(*(f"{number % 50}/ñ {number}.txt" for number in range(3000)))
        for pause in (2, 5, 8):
            running = site.start("--jobs", "16")
            time.sleep(pause)
            running.kill()
            running.communicate()

        said = site.run("--jobs", "16")

        assert "all files are moved" in said
        site.is_moved()


def retarget(site: Site, url: str) -> None:
    """The proxy is gone: the same project, at the server's own address."""
    if not site.journal.exists():
        return
    site.journal.write_text(site.journal.read_text().replace(url, site.server.url))
