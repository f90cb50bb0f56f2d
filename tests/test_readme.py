"""What the README promises: its commands are run as they stand there."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import call_command

from api.doctor import run_checks
from api.reconciliation import Status
from api.sweep import ACTIONS
from api.uploads import scanning
from tests.support.project import Project
from tests.support.server import ROOT, Server

README = (ROOT / "README.md").read_text()


def blocks(language: str, indent: str = "") -> list[str]:
    return re.findall(rf"^{indent}```{language}\n(.*?)^{indent}```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="bash and curl are needed")
@pytest.mark.slow
def test_the_main_job_with_curl(server: Server, tmp_path: Path):
    [script] = [block for block in blocks("bash") if "curl" in block]

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script.replace("PORT=8000", f"PORT={server.port}")],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the same bytes\n")
    assert '"state":"completed"' in done.stdout


@pytest.mark.slow
def test_going_to_supabase(server: Server, project: Project):
    """Its commands, in their order, on a project that has no buckets yet."""
    project.drop(*project.buckets())
    commands = [
        command.strip() for block in blocks("console", indent="   ") for command in block.splitlines()
    ]
    keys = {"SUPABASE_URL": server.url, "SUPABASE_SECRET_KEY": project.key, "STORAGE": "supabase"}

    done = [
        subprocess.run(
            shlex.split(command),
            cwd=ROOT,
            env={**server.environment, **keys},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        for command in commands
    ]

    assert [command.split()[2:] for command in commands] == [
        ["setup_supabase", "--dry-run"],
        ["setup_supabase"],
        ["check_supabase"],
    ]
    assert "8 buckets: would be created 8" in done[0].stderr
    assert "8 buckets: created 8" in done[1].stderr
    assert "\n0 problems" in done[2].stdout


def test_the_lines_of_the_doctor_that_are_named_exist(project: Project, settings):
    settings.STORAGE, settings.SUPABASE_JWKS_URL = "supabase", ""
    [table] = re.findall(r"^\| what you see \|.*\n((?:\|.*\n)+)", README, re.MULTILINE)
    named = {name for row in table.splitlines()[1:] for name in re.findall(r"`([\w.]+)`", row.split("|")[2])}

    found = {finding.name for finding in run_checks()}

    assert {"key", "bucket.species", "clock", "cors", "round_trip.get"} <= named <= found


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="bash is needed")
def test_moving_to_supabase(server: Server, service_key: str, tmp_path: Path):
    chapter = README.partition("## Moving existing files to Supabase")[2].partition("\n## ")[0]
    script = "".join(re.findall(r"^```bash\n(.*?)^```", chapter, re.MULTILINE | re.DOTALL))
    for written, here in (
        (".venv/bin/python manage.py", f"{sys.executable} {ROOT}/manage.py"),
        ("https://your-project.supabase.co", server.url),
        ("sb_secret_of_your_project", service_key),
    ):
        assert written in script
        script = script.replace(written, here)
    media = tmp_path / "media"
    database = f"sqlite:///{tmp_path}/site.sqlite3"
    site = {**server.environment, "DATABASE_URL": database, "MEDIA_ROOT": str(media)}
    for command in ("migrate -v0", "load_demo"):
        subprocess.run([sys.executable, ROOT / "manage.py", *command.split()], env=site, check=True)
    files = [path for path in media.rglob("*") if path.is_file() and ".objects" not in path.parts]

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=site,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(files) >= 3
    assert f"{len(files)} moved" in done.stdout
    assert f"{len(files)} deleted, 0 left as they are" in done.stdout
    assert not any(path.exists() for path in files)


def test_every_word_of_a_move_is_explained():
    chapter = README.partition("## Moving existing files to Supabase")[2].partition("\n## ")[0]
    sources = "".join(path.read_text() for path in (ROOT / "storage" / "transfer").glob("*.py"))
    said = set(re.findall(r"(?:TransferFailed|FileKept|Outcome|EntryResult)\(\s*\"(\w+)\"", sources)) | {
        "there",
        "moved",
        "storage",
    }

    assert said - set(re.findall(r"`(\w+)`", chapter)) == set()


def test_every_figure_of_the_sweep_is_explained(db):
    chapter = README.partition("## What is finished later")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE) == list(ACTIONS)
    for command in re.findall(r"^\.venv/bin/python manage.py (sweep.*?) *#", chapter, re.MULTILINE):
        if "--every" not in command:  # tests/api/test_sweep.py runs that one
            call_command(*command.split())


def test_the_scanner_of_the_readme_is_one(settings):
    [script] = [block for block in blocks("python") if "ScannedFile" in block]
    scope: dict = {}
    exec(script, scope)

    kinds = [scope["scan"](SimpleNamespace(content_type=each)) for each in ("application/pdf", "image/png")]

    assert kinds == [scanning.Hold(), scanning.Accept()]


def test_every_word_of_a_comparison_is_explained():
    chapter = README.partition("## Comparing rows with storage")[2].partition("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`.+?) \|", chapter, re.MULTILINE))

    assert set(re.findall(r"`(\w+)`", rows)) == set(Status)


def test_every_make_target_exists():
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    makefile = (ROOT / "Makefile").read_text()

    assert {"run", "test", "test-all", "check", "schema", "install"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_ci_runs_the_commands_of_the_readme():
    """The quick tests, the slow ones and those with packages are those of `make test-all`; no Python runs
    one twice.
    """
    script, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()

    commands = re.findall(r"^ *(?:\[.*\|\| )?(make [a-z-]+)(.*?)(?: #.*)?$", script, re.MULTILINE)
    assert commands == [
        ("make check", ""),
        ("make test", ""),
        ("make test-packages", ""),
        ("make test-slow", ""),
        (
            "make test-postgresql",
            ' "${second[@]}" ${second:+"MARKED=(database or not slow) and not packages"}',
        ),
        ("make test", ' "${second[@]}"'),
    ]
    for target, chosen in {
        "test": '-m "not slow and not packages" --numprocesses auto',
        "test-packages": "-m packages tests/packages",
        "test-slow": "-m slow --numprocesses auto",
        "test-all": "--numprocesses auto",
    }.items():
        recipe = rf"^{target}: (?:dev|packages) .*\n\t@\$\(BIN\)/pytest {chosen}$"
        assert re.search(recipe, makefile, re.MULTILINE), target


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(link: str):
    assert (ROOT / link).exists()


def test_settings_that_are_named_exist():
    example = (ROOT / ".env.example").read_text()
    known = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE)) | {
        "WEB_CONCURRENCY",
        "STORAGES",
        "INSTALLED_APPS",
        "MEDIA_URL",
        "GUNICORN_CMD_ARGS",
        "FORWARDED_ALLOW_IPS",
    }

    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", README)) <= known
