"""setup_supabase: a project gets the buckets that it should have, and nothing else happens to it."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from api.auth.development_tokens import development_token
from api.documents.models import Document
from storage import buckets
from storage.supabase import webhook
from storage.supabase.policies import NAMES, from_settings, render
from storage.supabase.policy_audit import audit
from tests.storage.project import THEIRS, WEBHOOK_SECRET, WEBHOOK_URL
from tests.support.cast import PDF
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.server import ROOT, Server

HTML = {"Content-Type": "text/html"}


def set_up(*options: str) -> str:
    """What it says of the buckets, after the policies; there must be no secret in it."""
    printed = StringIO()
    call_command("setup_supabase", *options, stdout=printed, stderr=printed)
    assert "eyJ" not in printed.getvalue()
    return printed.getvalue().removeprefix(render(from_settings()))


def refusal(*options: str) -> str:
    """All that it prints before it ends with an error, and the error."""
    printed = StringIO()
    with pytest.raises(CommandError) as refused:
        call_command("setup_supabase", *options, stdout=printed, stderr=printed)
    assert "eyJ" not in printed.getvalue() + str(refused.value)
    assert "sb_" not in str(refused.value).replace("(sb_secret_…)", "").replace("sb_secret_… nor", "")
    return printed.getvalue() + str(refused.value)


def is_right(project: Project) -> bool:
    there = project.buckets()
    return all(
        (there[name]["public"], there[name]["file_size_limit"], there[name]["allowed_mime_types"] or [])
        == (wanted.public, wanted.file_size_limit, [*(wanted.allowed_mime_types or ())])
        for name, wanted in buckets.declared().items()
    )


# --- What it does -----------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["supabase", "local"])
@pytest.mark.slow
def test_an_empty_project_gets_its_buckets_whatever_the_site_runs_on(
    server: Server, project: Project, store: str
):
    """A process of its own; on `local` with a setting that every other command refuses to run with."""
    project.drop(*buckets.declared())
    environment = {**server.environment, "SUPABASE_URL": server.url, "SUPABASE_SECRET_KEY": project.key}
    environment |= {"STORAGE": store, "UPLOAD_URL_TTL": "0" if store == "local" else "1800"}

    done = subprocess.run(
        [sys.executable, "manage.py", "setup_supabase"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (0, render(from_settings()))
    assert "species: bucket: missing → public, 50 MiB, image/jpeg, image/png, image/webp\n" in done.stderr
    assert "originals: bucket: missing → private, 10 MiB, image/jpeg, image/png, image/webp\n" in done.stderr
    assert done.stderr.endswith("8 buckets: created 8, updated 0, unchanged 0\n")
    assert is_right(project)


def test_the_second_run_changes_nothing_and_says_so(project: Project):
    project.drop("species")
    set_up()
    before = project.buckets()

    assert set_up() == "8 buckets: created 0, updated 0, unchanged 8\n"
    assert project.buckets() == before


def test_every_column_is_put_right(project: Project):
    project.change("documents", public=True, file_size_limit=1000, allowed_mime_types=["text/plain"])
    project.change("species", public=False, file_size_limit=None, allowed_mime_types=None)

    told = set_up()

    assert is_right(project)
    assert told.splitlines() == [
        "documents: public: yes → no",
        "documents: file_size_limit: 1000 bytes → 50 MiB",
        "documents: allowed_mime_types: text/plain → application/pdf, image/jpeg, image/png",
        "species: public: no → yes",
        "species: file_size_limit: no limit → 50 MiB",
        "species: allowed_mime_types: any type → image/jpeg, image/png, image/webp",
        "8 buckets: created 0, updated 2, unchanged 6",
    ]


def test_a_dry_run_shows_the_same_and_changes_nothing(project: Project):
    project.drop("species")
    project.change("documents", public=True)
    before = project.buckets()

    told = set_up("--dry-run")

    assert project.buckets() == before
    assert "documents: public: yes → no\n" in told
    assert "species: bucket: missing → public" in told
    assert told.endswith("8 buckets: would be created 1, would be updated 1, unchanged 6\n")


def test_files_and_other_peoples_buckets_stay_as_they_are(project: Project):
    project.make("holiday-pictures", public=True, file_size_limit=1000)
    project.put("documents", "a/plan.pdf", PDF)
    project.change("documents", public=True)
    before = project.buckets()["holiday-pictures"]

    set_up()

    assert project.buckets()["holiday-pictures"] == before
    assert project.get("documents", "a/plan.pdf") == PDF


def test_a_limit_that_no_field_sets_is_the_projects_own(project: Project):
    project.change("media", public=True, file_size_limit=12345, allowed_mime_types=["text/plain"])

    assert "media: public: yes → no" in set_up()

    media = project.buckets()["media"]
    kept = (media["public"], media["file_size_limit"], media["allowed_mime_types"])
    assert kept == (False, 12345, ["text/plain"])


def test_a_new_key_works_through_the_gateway_that_knows_it(front: Proxy, project: Project, settings):
    settings.SUPABASE_SECRET_KEY = "sb_secret_Zu9k3BfPq7Xw1Tn5"
    front.keys = {settings.SUPABASE_SECRET_KEY: project.key}
    project.drop("species")

    assert "created 1" in set_up()
    assert is_right(project)


def test_an_answer_that_got_lost_is_asked_for_again(front: Proxy, project: Project):
    project.drop("species")
    front.on("POST", "/bucket$", status=503, forwards=True, times=1)

    assert "created 1" in set_up()
    assert is_right(project)


# --- What it refuses --------------------------------------------------------------------------------


def test_a_name_in_other_case_is_told_and_the_rest_is_done(project: Project):
    project.drop("species", "documents")
    project.make("Species")

    told = refusal()

    assert "bucket 'species' not found, but there is 'Species': names are case-sensitive." in told
    assert "Refused: 1" in told
    assert "documents" in project.buckets()
    assert "species" not in project.buckets()


def test_an_exact_name_beside_one_in_other_case_is_all_it_takes(project: Project):
    project.make("Species")

    assert "unchanged 8" in set_up()


def test_a_limit_above_that_of_the_project_is_told_with_the_cure(project: Project, monkeypatch):
    project.drop("species")
    monkeypatch.setattr(Document._meta.get_field("file"), "max_bytes", 200 * 1024 * 1024)

    told = refusal()

    assert "bucket 'documents': its limit, 200 MiB, is above the global limit of the project." in told
    assert "Raise the global file size limit" in told
    assert "DOCUMENT_MAX_BYTES" in told
    assert "Refused: 2" in told, "that of what arrives, too"
    assert "species" in project.buckets()


def test_a_content_type_that_is_none_is_told_with_the_cure(project: Project, monkeypatch):
    monkeypatch.setattr(Document._meta.get_field("file"), "accepts", ("application pdf",))

    assert "DOCUMENT_TYPES" in refusal()


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("", "SUPABASE_SECRET_KEY is not set"),
        ("sb_publishable_Zu9k3BfPq7Xw1Tn5", "is a publishable key"),
        ("sb_secret_of_another_Zu9k3BfPq7Xw1Tn5", "refuses SUPABASE_SECRET_KEY"),
        ("two words", "is not an API key"),
        ("nonsense", "refuses SUPABASE_SECRET_KEY"),
    ],
)
def test_a_wrong_key_is_told_and_never_shown(project: Project, settings, key: str, said: str):
    settings.SUPABASE_SECRET_KEY = key
    before = project.buckets()

    told = refusal()

    assert said in told
    assert not key or key not in told
    assert project.buckets() == before


def test_somebody_elses_token_is_no_key(project: Project, settings):
    settings.SUPABASE_SECRET_KEY = development_token("alice@example.org")

    assert "is a user's access token" in refusal()


@pytest.mark.parametrize("broken", ["nobody listens", "a gateway's page", "trouble", "no bucket list"])
@pytest.mark.slow
def test_a_project_that_cannot_be_asked_is_told_without_a_traceback(project: Project, settings, broken: str):
    with Proxy(project.url) as front:
        settings.SUPABASE_URL = front.url
        if broken == "a gateway's page":
            front.on("GET", "/bucket", body=b"<html>Welcome</html>", headers=HTML)
        if broken == "trouble":
            front.on("GET", "/bucket", status=503, headers={"Retry-After": "0"})
        if broken == "no bucket list":
            front.on("GET", "/bucket", body=b'{"buckets": 3}', headers={"Content-Type": "application/json"})
        if broken == "nobody listens":
            settings.SUPABASE_URL = "http://127.0.0.1:9"

        told = refusal()

    assert "Not finished" in told
    assert "`manage.py check_supabase`" in told


def test_trouble_in_the_middle_keeps_what_was_done(front: Proxy, project: Project):
    project.drop("media", "species")
    front.on("POST", "/bucket$", forwards=True, times=1)
    front.on("POST", "/bucket$", status=500)

    assert "Not finished" in refusal()
    assert len(project.buckets().keys() & {"media", "species"}) == 1

    front.orders.clear()
    assert "created 1" in set_up()
    assert is_right(project)


@pytest.mark.parametrize("name", ["SUPABASE_SECRET_KEY", "SUPABASE_URL"])
def test_a_setting_that_is_missing_is_one_line(name: str):
    environment = {"STORAGE": "supabase", "SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SECRET_KEY": "key"}
    environment |= {"ENV_FILE": os.devnull, "DEBUG": "true", name: ""}

    done = subprocess.run(
        [sys.executable, "manage.py", "setup_supabase"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr == f"Set {name}: there is no default for this.\n"


# --- Row-level security -------------------------------------------------------------------------------


def printed_by(*options: str) -> list[str]:
    printed = StringIO()
    call_command("setup_supabase", *options, stdout=printed, stderr=printed)
    return printed.getvalue().splitlines()


def test_without_a_database_the_policies_are_printed_for_the_sql_editor(project: Project):
    printed, with_direct_uploads = printed_by(), printed_by("--direct-uploads")

    assert printed[0] == "begin;"
    script = printed[: printed.index("commit;") + 1]
    assert sum(line.startswith("create policy vivarium_") for line in script) == len(NAMES)
    assert script != with_direct_uploads[: len(script)]


def test_with_a_database_they_are_put_in_place_and_those_of_others_are_told(project: Project, committed: str):
    with psycopg.connect(committed) as connection:
        connection.execute(THEIRS)

    dry, first, second = (
        printed_by("--database", committed, *options) for options in (["--dry-run"], [], [])
    )

    assert dry[0] == f"policies: would be created {len(NAMES)}, would be changed 0, unchanged 0"
    assert first[0] == f"policies: created {len(NAMES)}, changed 0, unchanged 0"
    assert second[0] == f"policies: created 0, changed 0, unchanged {len(NAMES)}"
    assert second[1] == (
        "policy 'members do as they like' on objects is not Vivarium's and was not changed; "
        "its effect on Vivarium's buckets: none"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://postgres:hush-hush@127.0.0.1:1/postgres",
        "postgresql://postgres:hush-hush@[/postgres",
        "hush-hush",
    ],
)
def test_a_database_that_cannot_be_had_is_told_before_any_bucket_is_made(project: Project, url: str):
    project.drop("species")

    told = refusal("--database", url)

    assert told.startswith("Row-level security: ")
    assert "hush-hush" not in told
    assert "species" not in project.buckets()


@pytest.mark.parametrize("options", [[], ["--direct-uploads"], ["--dry-run"], ["--webhook", WEBHOOK_URL]])
def test_standard_output_is_a_script_and_nothing_else(
    project: Project, settings, tmp_path: Path, webhook_database: str, options: list[str]
):
    settings.STORAGE_WEBHOOK_SECRET = WEBHOOK_SECRET
    project.change("documents", public=True)
    project.drop("species")
    saved, talk = tmp_path / "policies.sql", StringIO()

    with saved.open("w") as script:
        call_command("setup_supabase", *options, stdout=script, stderr=talk)

    psql = ["psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={saved}", webhook_database]
    done = subprocess.run(psql, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    applied = audit(webhook_database, from_settings(direct_uploads="--direct-uploads" in options))
    assert not applied.missing
    assert not applied.changed
    assert bool(webhook.find(webhook_database, WEBHOOK_SECRET)) is ("--webhook" in options)
    assert "documents: public: yes → no" in talk.getvalue()
    assert "create policy" not in talk.getvalue()


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--webhook", WEBHOOK_URL]])
def test_without_a_script_to_run_standard_output_is_empty(
    project: Project, settings, webhook_database: str, options: list[str]
):
    settings.STORAGE_WEBHOOK_SECRET = WEBHOOK_SECRET
    script, talk = StringIO(), StringIO()

    call_command("setup_supabase", "--database", webhook_database, *options, stdout=script, stderr=talk)

    assert script.getvalue() == ""
    assert talk.getvalue().startswith("policies: ")


def test_what_is_refused_is_not_in_the_script(project: Project):
    project.drop("species")
    project.make("Species")
    script = StringIO()

    with pytest.raises(CommandError):
        call_command("setup_supabase", stdout=script, stderr=StringIO())

    assert script.getvalue() == render(from_settings())


# --- The storage webhook ------------------------------------------------------------------------------


def test_without_a_database_the_webhook_is_printed_without_its_secret(project: Project, settings):
    settings.STORAGE_WEBHOOK_SECRET = WEBHOOK_SECRET

    printed = "\n".join(printed_by("--webhook", WEBHOOK_URL))

    assert webhook.render(WEBHOOK_URL) in printed
    assert WEBHOOK_SECRET.removeprefix("whsec_") not in printed
    assert "create constraint trigger" not in "\n".join(printed_by())


def test_with_a_database_the_webhook_is_put_in_place(project: Project, settings, webhook_database: str):
    settings.STORAGE_WEBHOOK_SECRET = WEBHOOK_SECRET
    options = ("--webhook", WEBHOOK_URL, "--database", webhook_database)

    dry, first, second = (printed_by(*options, *more)[1] for more in (["--dry-run"], [], []))
    settings.STORAGE_WEBHOOK_SECRET = "another-secret-of-the-same-zoo"
    dry_change, change = (printed_by(*options, *more)[1] for more in (["--dry-run"], []))

    assert dry == f"webhook to {WEBHOOK_URL}: would be created"
    assert first == f"webhook to {WEBHOOK_URL}: created"
    assert second == f"webhook to {WEBHOOK_URL}: unchanged"
    assert dry_change == f"webhook to {WEBHOOK_URL}: would be changed"
    assert change == f"webhook to {WEBHOOK_URL}: changed"
    assert webhook.find(webhook_database, settings.STORAGE_WEBHOOK_SECRET) == webhook.Webhook(
        WEBHOOK_URL, is_as_shipped=True, has_secret=True
    )


def test_a_run_without_the_option_leaves_the_webhook_as_it_is(project: Project, with_webhook: str):
    printed_by("--database", with_webhook)

    assert webhook.find(with_webhook, WEBHOOK_SECRET)


@pytest.mark.parametrize(
    ("secret", "url", "said"),
    [
        ("", WEBHOOK_URL, "--webhook needs STORAGE_WEBHOOK_SECRET"),
        (WEBHOOK_SECRET, "http://api.zoo.example.org/hook/", "--webhook: It must start with https://"),
        (WEBHOOK_SECRET, "https://api.zoo.example.org", "--webhook: It must be a URL such as https://"),
    ],
)
def test_a_webhook_that_cannot_work_is_told_before_anything_is_done(
    project: Project, settings, secret: str, url: str, said: str
):
    settings.STORAGE_WEBHOOK_SECRET = secret
    project.drop("species")

    told = refusal("--webhook", url)

    assert told.startswith(said)
    assert "species" not in project.buckets()


def test_a_project_without_the_extensions_of_the_webhook_is_told(
    project: Project, settings, webhook_database: str, database_superuser
):
    settings.STORAGE_WEBHOOK_SECRET = WEBHOOK_SECRET
    database_superuser.execute("alter function net.http_post rename to get")
    try:
        told = refusal("--webhook", WEBHOOK_URL, "--database", webhook_database)
    finally:
        database_superuser.execute("alter function net.get rename to http_post")

    assert "Webhook: The database reported an error: Enable the extensions pg_net" in told
