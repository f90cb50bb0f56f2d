"""What README.md and docs/ promise: every command is run, and every link, file, setting and test exists.

A block of code that is new to a page needs an entry in BLOCKS, a command in the text one in COMMANDS.
"""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import call_command, get_commands, load_command_class

from api.doctor import run_checks
from api.documents.models import Document
from api.models import Upload
from api.reconciliation import Status
from api.sweep import ACTIONS
from api.uploads import scanning
from storage.fields import UploadField
from tests.backend.test_settings import PRODUCTION, listed, python, settings_of
from tests.support.cast import PDF, Caller, send
from tests.support.pages import PAGES, README, Block, Page, anchor
from tests.support.project import Project
from tests.support.server import ROOT, Server

#: Languages in which a page has commands or code. All others, such as JSON, show what is sent and answered.
RUNNABLE = {"bash", "sh", "console", "js", "ts", "jsx", "tsx", "python", "sql"}
#: The test that runs the blocks of a chapter, or the reason why there is none.
BLOCKS: dict[tuple[str, str, str], str] = {
    ("README.md", "Quick start", "bash"): "tests/test_fresh_machine.py::test_make_run_and_the_main_job",
    ("README.md", "The main job, with curl", "bash"): "tests/test_docs.py::test_the_main_job_with_curl",
    (
        "README.md",
        "Development",
        "bash",
    ): "not run: these targets run the tests; test_ci_runs_the_commands_of_the_readme compares them with CI",
    ("docs/clients.md", "curl", "bash"): "tests/test_client_docs.py::test_curl_carries_a_file_through",
    (
        "docs/clients.md",
        "Python",
        "python",
    ): "tests/test_client_docs.py::test_python_carries_a_file_through_at_once_and_in_parts",
    (
        "docs/clients.md",
        "",
        "js",
    ): "tests/test_client_docs.py::test_no_snippet_is_left_out",
    (
        "docs/design.md",
        "The file of a row",
        "python",
    ): "tests/test_docs.py::test_the_field_is_that_of_documents",
    (
        "docs/django-storage.md",
        "Ten lines",
        "python",
    ): "tests/storage/test_django_storage.py::test_its_settings_make_storages",
    (
        "docs/extending.md",
        "Another store",
        "python",
    ): "not run: an outline, which leaves out the calls of boto3",
    ("docs/backup.md", "", "bash"): "tests/test_backup.py::test_all_is_lost_and_restored",
    ("docs/extending.md", "", "bash"): "tests/test_extending.py::test_the_project_is_sound",
    ("docs/extending.md", "", "python"): "tests/test_extending.py::test_the_project_is_sound",
    (
        "docs/hosting.md",
        "With containers",
        "console",
    ): "not run: they need an engine for containers; tests/deploy/test_image.py builds and runs the image",
    (
        "docs/hosting.md",
        "Without containers",
        "console",
    ): "not run: packages, a user and a clone; test_without_containers.py makes its own folder instead",
    (
        "docs/hosting.md",
        "With containers",
        "bash",
    ): "tests/deploy/test_compose.py::test_the_settings_of_the_page",
    (
        "docs/hosting.md",
        "Files that nginx sends",
        "console",
    ): "not run: a package and users; test_accel_redirect.py has a file that nginx may not read",
    (
        "docs/hosting.md",
        "Without containers",
        "bash",
    ): "tests/deploy/test_without_containers.py::test_the_page",
    ("docs/upgrading.md", "", "bash"): "tests/test_upgrading.py::test_the_site_answers_while_it_is_upgraded",
    ("docs/local-store.md", "Signing in locally", "js"): "tests/test_client_docs.py::test_signing_in_locally",
    ("docs/migration.md", "", "bash"): "tests/test_docs.py::test_moving_to_supabase",
    (
        "docs/operations.md",
        "Before the first users",
        "bash",
    ): "tests/test_docs.py::test_the_commands_of_operations",
    (
        "docs/operations.md",
        "Metrics, alerts and traces",
        "console",
    ): "not run: `make traces` installs the same packages for tests/backend/test_tracing.py",
    (
        "docs/operations.md",
        "Stop and start",
        "bash",
    ): "tests/test_docs.py::test_the_commands_of_operations",
    (
        "docs/operations.md",
        "What is finished later: the sweep",
        "bash",
    ): "tests/test_docs.py::test_the_commands_of_operations",
    (
        "docs/operations.md",
        "What is finished later: the sweep",
        "console",
    ): "tests/api/test_sweep.py::test_a_sweep_that_is_terminated_ends_well",
    (
        "docs/operations.md",
        "Compare rows with storage",
        "bash",
    ): "tests/test_docs.py::test_the_commands_of_operations",
    (
        "docs/operations.md",
        "Scan files",
        "console",
    ): "tests/test_docs.py::test_held_files_are_released_and_rejected",
    ("docs/operations.md", "Scan files", "python"): "tests/test_docs.py::test_the_scanner_is_one",
    (
        "docs/operations.md",
        "Renditions of pictures",
        "bash",
    ): "tests/test_docs.py::test_the_commands_of_operations",
    ("docs/supabase.md", "Going to Supabase", "console"): "tests/test_docs.py::test_going_to_supabase",
    (
        "examples/spa/README.md",
        "An example app of Vivarium",
        "bash",
    ): "tests/test_example_app.py::test_make_spa_says_that_node_is_needed",
    (
        "examples/spa/README.md",
        "In your project",
        "bash",
    ): "tests/test_example_app.py::test_its_types_agree_with_the_schema_and_it_can_be_built",
}
#: The same for the commands within a text. The options of `manage.py` are checked in any case.
COMMANDS = {
    "apt": "not run: the packages of the system are not the tests' to change",
    "pip install": "not run: the packages are those of requirements-dev.txt",
    "npm": "tests/test_example_app.py::test_its_types_agree_with_the_schema_and_it_can_be_built",
    "python3 -c": "tests/test_docs.py::test_the_keys_that_are_printed_are_good",
    ".venv/bin/gunicorn": "tests/test_fresh_machine.py::test_make_run_and_the_main_job",
    ".venv/bin/pytest": "not run: this is it",
    "make run": "tests/test_fresh_machine.py::test_make_run_and_the_main_job",
    "make install": "tests/test_fresh_machine.py::test_without_a_python_the_package_is_named",
    "make messages": "tests/api/test_translations.py::test_gathering_the_messages_finds_nothing_new",
    "make spa": "tests/test_example_app.py::test_make_spa_says_that_node_is_needed",
    "make check": "not run: CI does",
    "make test-all": "not run: CI runs its parts",
    "make sbom": "tests/test_upgrading.py::test_the_sbom_has_every_package_that_is_installed",
    "make audit": "tests/test_upgrading.py::test_an_audit_without_an_answer_is_a_failure",
    "make test-newest-django": "not run: CI does",
    "make released": "not run: whoever makes a release does",
    "make test-packages": "not run: CI does",
    "python bench": "not run: measurements take minutes, and the whole machine",
    "python -m": "not run: the same",
    "make bench": "tests/test_fresh_machine.py::test_memory_stays_flat_whatever_the_size",
    "make help": "tests/test_docs.py::test_make_help_lists_every_target",
    "manage.py changepassword": "not run: Django's own, and it asks for a password",
    "manage.py check": (
        "tests/backend/test_settings.py::test_a_well_configured_production_has_nothing_to_be_told"
    ),
    "manage.py check_supabase": "tests/test_docs.py::test_going_to_supabase",
    "manage.py collectstatic": (
        "tests/storage/test_stores.py::test_static_files_are_collected_once_and_served"
    ),
    "manage.py createsuperuser": "not run: Django's own",
    "manage.py erase_member": (
        "tests/api/profiles/test_erasure.py::test_the_command_does_the_same_and_says_what"
    ),
    "manage.py generate_qr_codes": (
        "tests/api/catalog/test_qr_codes.py::test_the_command_makes_all_again_however_often"
    ),
    "manage.py issue_token": "tests/api/management/test_issue_token.py::test_an_issued_token_opens_the_api",
    "manage.py load_demo": "tests/api/demo/test_loading.py::test_a_second_run_makes_nothing",
    "manage.py make_renditions": "tests/test_docs.py::test_the_commands_of_operations",
    "manage.py migrate": "tests/test_docs.py::test_moving_to_supabase",
    "manage.py migrate_to_supabase": "tests/test_docs.py::test_moving_to_supabase",
    "manage.py purge_jwks": (
        "tests/api/management/test_purge_jwks.py::test_the_command_drops_the_set_where_the_cache_is_shared"
    ),
    "manage.py reconcile_storage": "tests/test_docs.py::test_the_commands_of_operations",
    "manage.py setup_supabase": "tests/test_docs.py::test_going_to_supabase",
    "manage.py sweep": "tests/test_docs.py::test_the_commands_of_operations",
    "manage.py unlock_login": "tests/api/admin_site/test_login.py::test_a_command_lets_everybody_try_again",
}


@cache
def names_of_tests(file: str) -> set[str]:
    """The names of the tests in this file."""
    path = ROOT / file
    nodes = ast.walk(ast.parse(path.read_text())) if path.is_file() else ()
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def exists(test: str) -> bool:
    file, _, name = test.partition("::")
    return name.startswith("test_") and name in names_of_tests(file)


def is_accounted_for(entry: str) -> bool:
    """Whether an entry of BLOCKS or COMMANDS has a reason, or a test that exists."""
    reason = entry.partition("not run: ")[2]
    return bool(reason) or exists(entry)


# --- The pages ---------------------------------------------------------------------------------------


#: A page that begins with its first chapter.
WITHOUT_INTRODUCTION: set[str] = set()


def test_the_readme_is_short():
    assert len(README.text.splitlines()) <= 150


def test_the_readme_leads_to_every_page():
    listed_pages = re.findall(r"\]\(([\w/.-]+\.md)\)", README.chapter("Where to read on"))

    assert sorted(listed_pages) == sorted(PAGES.keys() - {"README.md"})


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_link_leads_somewhere(page: Page):
    for link in page.links:
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = ((ROOT / page.name).parent / path).resolve() if path else ROOT / page.name
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in PAGES[str(target.relative_to(ROOT))].anchors, f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_page_has_one_title_and_says_what_it_is_for(page: Page):
    levels = [level for level, _ in page.headings]

    assert levels[0] == 1
    assert levels.count(1) == 1
    after_title = [token.type for token in page.tokens if token.type.endswith("_open")][1]
    assert after_title == "paragraph_open" or page.name in WITHOUT_INTRODUCTION


@pytest.mark.parametrize(
    "page", [page for page in PAGES.values() if page is not README], ids=lambda p: p.name
)
def test_a_long_page_begins_with_its_contents(page: Page):
    chapters = [heading for level, heading in page.headings if level == 2]
    head = page.text.partition("\n## ")[0]
    contents = [
        chapter.replace("`", "") for chapter in re.findall(r"^- \[(.+)\]\(#.+\)$", head, re.MULTILINE)
    ]

    assert contents == (chapters if contents or len(page.text.splitlines()) > 100 else [])


def test_no_heading_is_empty():
    for page in PAGES.values():
        assert not re.search(r"^(#+) .*\n+(\1 |\Z)", page.text, re.MULTILINE), page.name


# --- Commands ----------------------------------------------------------------------------------------


def entry_of(block: Block) -> str:
    """What BLOCKS says of this block, or of all blocks of its page in this language."""
    key = (block.page, block.heading, block.language)
    return BLOCKS.get(key) or BLOCKS.get((block.page, "", block.language), "")


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_block_is_run_or_has_a_reason_why_not(page: Page):
    for block in page.blocks:
        if block.language in RUNNABLE:
            name = (block.page, block.heading, block.language)
            assert is_accounted_for(entry_of(block)), f"no test of BLOCKS runs {name}"
            if exists(entry_of(block)):
                assert reads(entry_of(block), block), f"{entry_of(block)} does not run {name}"


def reads(test: str, block: Block) -> bool:
    """Whether the file of this test names the page of the block, or has all words of its commands."""
    source = (ROOT / test.partition("::")[0]).read_text()
    if block.page.removesuffix(".md") in source:
        return True
    text = block.text.replace("\\\n", " ")
    words = [word for line in text.splitlines() for word in shlex.split(line, comments=True)]
    return all(word in source for word in words if not word.startswith(".venv"))


def test_no_entry_is_left_over():
    blocks = [block for page in PAGES.values() for block in page.blocks]
    headings = {(block.page, block.heading, block.language) for block in blocks}
    pages = {(block.page, "", block.language) for block in blocks}

    assert BLOCKS.keys() <= headings | pages
    assert COMMANDS.keys() <= {name for page in PAGES.values() for name, _ in commands_of(page)}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_command_in_a_text_is_run_or_has_a_reason_why_not(page: Page):
    for name, command in commands_of(page):
        assert is_accounted_for(COMMANDS.get(name, "")), f"no test of COMMANDS runs {command!r}: {name}"


def commands_of(page: Page) -> list[tuple[str, str]]:
    """The commands between backticks, each with its program and, where that says more, the first word."""
    found = []
    for code in page.inline:
        command = re.sub(r"^([A-Z_]+=\S* )*(\.venv/bin/python )?", "", code)
        if name := re.match(
            r"(?:make|manage\.py|pip|python3?) [\w-]+|(?:apt|npm)(?= )|\.venv/bin/\w+", command
        ):
            found.append((name[0], command))
    return found


#: Values for what a page writes in capitals, or leaves out.
PLACEHOLDERS = {"UUID": str(uuid4()), "NAME": "vera", "N": "2", "URL": "postgres:///zoo"}
LEFT_OUT = {"--webhook": ["https://zoo.example.org/"]}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_every_management_command_takes_the_options_that_are_named(page: Page):
    lines = [command for _, command in commands_of(page)]
    for language in ("bash", "console"):
        for code in page.code(language):
            lines += re.findall(r"^ *\.venv/bin/python (manage\.py .*)$", code, re.MULTILINE)
    for line in lines:
        program, *words = shlex.split(re.sub(r"<[\w ]+>", "x", line), comments=True)
        if program != "manage.py" or words == ["…"]:
            continue
        name, *arguments = words
        arguments = [PLACEHOLDERS.get(argument, argument) for argument in arguments]
        loaded = load_command_class(get_commands()[name], name)
        if arguments:
            arguments += LEFT_OUT.get(arguments[-1], [])
            loaded.create_parser("manage.py", name).parse_args(arguments)


def test_every_management_command_is_described():
    folders = [ROOT / app / "management" / "commands" for app in ("api", "storage")]
    own = {path.stem for folder in folders for path in folder.glob("[a-z]*.py")}
    operations = PAGES["docs/operations.md"]
    described = {row[0].strip("`"): row[1] for row in operations.rows("Commands")}

    assert list(described) == sorted(own)
    for command, what in described.items():
        path, place = re.search(r"\]\(([^#)]*)#?([^)]*)\)", what).groups()
        page = PAGES[str((ROOT / "docs" / path).resolve().relative_to(ROOT))] if path else operations
        chapters = [heading for _, heading in page.headings if anchor(heading) == place]
        text = page.chapter(chapters[0]) if chapters else page.text
        assert re.search(rf"[`\s]{command}\b", text), f"{page.name} does not speak of {command}"


def test_make_help_lists_every_target():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    makefile = (ROOT / "Makefile").read_text()
    lines = [code for page in PAGES.values() for code in page.inline]
    lines += [line for page in PAGES.values() for code in page.code("bash") for line in code.splitlines()]
    named = set(re.findall(r"^(?:[A-Z]+=\S* )?make ([a-z][a-z-]*)", "\n".join(lines), re.MULTILINE))

    assert {"run", "test", "test-all", "check", "schema", "install"} <= named
    assert set(re.findall(r"^  make ([a-z-]+) +\S", done.stdout, re.MULTILINE)) >= named - {"help"}
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
        ("make test-newest-django", ""),
    ]
    for target, chosen in {
        "test": '-m "not slow and not packages" --numprocesses auto',
        "test-packages": "-m packages tests/packages",
        "test-slow": "-m slow --numprocesses auto",
        "test-all": "--numprocesses auto",
    }.items():
        recipe = rf"^{target}: (?:dev|packages) .*\n\t@\$\(BIN\)/pytest {chosen}$"
        assert re.search(recipe, makefile, re.MULTILINE), target


# --- Settings ----------------------------------------------------------------------------------------

#: Defaults that are described instead of written down, or that settings.py keeps under another name.
DESCRIBED = {
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "PUBLIC_URL",
    "CORS_ALLOWED_ORIGINS",
    "DATABASE_URL",
    "CACHE_URL",
    "METRICS_TOKEN",
    "METRICS_BIND",
    "DATABASE_POOL_SIZE",
    "MEDIA_ROOT",
    "SUPABASE_JWT_SECRET",
    "SUPABASE_JWKS_URL",
    "MIGRATE_BUCKETS",
}


def test_every_setting_is_listed_with_the_words_of_env_example():
    rows = [
        row for row in PAGES["docs/settings.md"].rows("All settings") if re.fullmatch("`[A-Z_]+`", row[0])
    ]
    expected = []
    for name, comment in listed().items():
        text = " ".join(line.strip("# ") for line in comment.splitlines())
        found = re.fullmatch(r"(.*?) \[([^\[]*)\]", text)
        assert found, f"the comment of {name} in .env.example ends with no [default]"
        expected.append([f"`{name}`", found[2], found[1]])

    assert [f"| {' | '.join(row)} |" for row in expected if row not in rows] == [], "rows to be written"
    assert rows == expected


def test_the_defaults_are_those_of_the_code():
    needed = ("SECRET_KEY", "SUPABASE_JWT_SECRET")
    settings = settings_of(**{name: PRODUCTION[name] for name in needed})
    settings |= {
        f"THROTTLE_{scope.upper()}": rate
        for scope, rate in settings["REST_FRAMEWORK"]["DEFAULT_THROTTLE_RATES"].items()
    }
    rows = PAGES["docs/settings.md"].rows("All settings")
    defaults = {row[0].strip("`"): row[1].strip("`") for row in rows if re.fullmatch("`[A-Z_]+`", row[0])}

    assert defaults.keys() >= DESCRIBED
    for name, default in defaults.items():
        if name not in DESCRIBED:
            assert as_written(settings[name]) == plain(default), name


def as_written(value: object) -> str:
    if isinstance(value, list):
        return ",".join(value)
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def plain(default: str) -> str:
    """A default of the page as settings.py has it, for a server on port 8000."""
    default = re.sub(r"^PUBLIC_URL, or `", "", default)
    default = default.replace("$PORT", "8000").replace("$SUPABASE_URL", "http://127.0.0.1:8000")
    if size := re.fullmatch(r"(\d+) (MiB|GiB)", default):
        return str(int(size[1]) * 2 ** {"MiB": 20, "GiB": 30}[size[2]])
    return {"none": "", "no webhook": ""}.get(default, default)


#: Names of other programs, and of other Django projects, that look like settings.
OTHERS = {
    *("ENV_FILE", "NAME_FILE", "GUNICORN_CMD_ARGS", "SCRIPT_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("STORAGES", "INSTALLED_APPS", "MEDIA_URL", "DEFAULT_THROTTLE_RATES", "UPLOAD_FIELDS"),
}


def test_settings_that_are_named_exist():
    code = "".join(
        path.read_text() for app in ("api", "backend", "storage") for path in (ROOT / app).rglob("*.py")
    )
    for page in PAGES.values():
        if page.name == "docs/django-storage.md":  # it also has the settings of other packages
            continue
        for name in re.findall(r"`([A-Z]+_[A-Z_]+)`", page.text):
            known = name in listed() or name in OTHERS or f"{name} = " in code
            assert known or name.startswith("VITE_"), f"{page.name}: {name}"


def test_the_keys_that_are_printed_are_good():
    commands = set(re.findall(r"`python3 -c \"(.*?)\"`", PAGES["docs/settings.md"].text))

    assert len(commands) == 2
    for command in commands:
        key = python("-c", command).stdout.strip()
        name = "STORAGE_WEBHOOK_SECRET" if key.startswith("whsec_") else "SECRET_KEY"
        assert settings_of(**{**PRODUCTION, name: key})[name] == key


# --- Design and security -----------------------------------------------------------------------------


def test_every_file_that_design_names_exists():
    for page in PAGES.values():
        for code in page.inline:
            if re.fullmatch(r"(api|backend|storage|tests|bench|docs|examples)/[\w./-]*", code):
                assert (ROOT / code).exists() or page.name == "docs/extending.md", f"{page.name}: {code}"


def pictured_folders() -> dict[str, str]:
    """The folders at the top in the picture, each with the lines that describe what is in it."""
    [picture] = PAGES["docs/design.md"].code("", "Folders")
    lines = re.split(r"^(?=\S)", picture, flags=re.MULTILINE)
    return {line.split()[0].strip(",/"): line for line in lines if line}


def test_every_module_in_the_picture_of_the_folders_exists():
    for folder, text in pictured_folders().items():
        there = {path.name for path in (ROOT / folder).rglob("*.py")}
        assert set(re.findall(r"\b\w+\.py\b", text)) <= there | {"manage.py"}, folder


def test_the_picture_of_the_folders_has_every_package():
    for app in ("api", "storage"):
        packages = {path.parent.name for path in (ROOT / app).glob("*/__init__.py")} - {
            "migrations",
            "management",
        }
        missing = {name for name in packages if not re.search(rf"\b{name}/", pictured_folders()[app])}
        assert missing == set(), app


def test_the_field_is_that_of_documents():
    [code] = PAGES["docs/design.md"].code("python")
    scope = {"UploadField": UploadField, "MIB": 2**20, "folder": str}
    exec(code, scope)

    field, real = scope["file"], Document._meta.get_field("file")
    for name in ("facts_field", "size_field", "content_type_field", "max_bytes"):
        assert getattr(field, name) == getattr(real, name), name


def test_every_test_of_the_threats_exists():
    page = PAGES["docs/security.md"]
    tests = re.findall(r"`(tests/[\w/.]+::\w+)`", page.text)

    assert len(tests) > 50
    assert [test for test in tests if not exists(test)] == []


def test_every_threat_has_what_holds_it_off_and_a_test():
    page = PAGES["docs/security.md"]
    rows = [row for _, heading in page.headings[1:] for row in page.rows(heading)]

    assert len(rows) > 50
    for row in rows:
        assert len(row) == 3, row
        assert re.fullmatch(r"`tests/[^`]+::\w+`(, `tests/[^`]+::\w+`)*", row[2]), row


# --- What is run -------------------------------------------------------------------------------------


@pytest.mark.skipif(not (shutil.which("bash") and shutil.which("curl")), reason="bash and curl are needed")
@pytest.mark.slow
def test_the_main_job_with_curl(server: Server, tmp_path: Path):
    [script] = README.code("bash", "The main job, with curl")

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
    page = PAGES["docs/supabase.md"]
    commands = [line for code in page.code("console", "Going to Supabase") for line in code.splitlines()]
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
    rows = PAGES["docs/supabase.md"].rows("Problems and cures")
    named = {name for row in rows for name in re.findall(r"`([\w.]+)`", row[1])}

    found = {finding.name for finding in run_checks()}

    assert {"key", "bucket.species", "clock", "cors", "round_trip.get"} <= named <= found


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("bash"), reason="bash is needed")
def test_moving_to_supabase(server: Server, service_key: str, tmp_path: Path):
    script = "".join(PAGES["docs/migration.md"].code("bash"))
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
    sources = "".join(path.read_text() for path in (ROOT / "storage" / "transfer").glob("*.py"))
    said = set(re.findall(r"(?:TransferFailed|FileKept|Outcome|EntryResult)\(\s*\"(\w+)\"", sources)) | {
        "there",
        "moved",
        "storage",
    }

    assert said - set(re.findall(r"`(\w+)`", PAGES["docs/migration.md"].text)) == set()


def test_the_commands_of_operations(db, settings, tmp_path: Path, monkeypatch):
    """On an empty database, where there is nothing to do. Their own tests give them something."""
    monkeypatch.chdir(tmp_path)
    lines = "".join(PAGES["docs/operations.md"].code("bash")).splitlines()
    commands = [shlex.split(line, comments=True)[2:] for line in lines]

    for command in commands:
        call_command(*command)

    assert {command[0] for command in commands} == {
        *("check", "migrate", "sweep", "reconcile_storage", "make_renditions")
    }
    assert json.loads((tmp_path / "report.json").read_text()) == []


def test_every_figure_of_the_sweep_is_explained():
    rows = PAGES["docs/operations.md"].rows("What is finished later: the sweep")

    assert [row[0].strip("`") for row in rows] == list(ACTIONS)


def test_held_files_are_released_and_rejected(alice: Caller, settings):
    settings.UPLOAD_SCANNER = "tests.support.scanners.scan"
    held = PDF + b"%hold"
    tickets = [alice.ticket(alice.document(), held) for _ in range(2)]
    for ticket in tickets:
        send(ticket, held)
        assert alice.complete(ticket).status_code == 409
    lines = "".join(PAGES["docs/operations.md"].code("console", "Scan files")).splitlines()

    for line, ticket in zip(lines, tickets, strict=True):
        name, _, *options = shlex.split(line)[2:]
        call_command(name, ticket["id"], *options)

    states = [Upload.objects.get(pk=ticket["id"]).state for ticket in tickets]
    assert states == ["completed", "rejected"]


def test_the_scanner_is_one():
    [script] = PAGES["docs/operations.md"].code("python")
    scope: dict = {}
    exec(script, scope)

    kinds = [scope["scan"](SimpleNamespace(content_type=each)) for each in ("application/pdf", "image/png")]

    assert kinds == [scanning.Hold(), scanning.Accept()]


def test_every_word_of_a_comparison_is_explained():
    rows = PAGES["docs/operations.md"].rows("Compare rows with storage")

    assert set(re.findall(r"`(\w+)`", "".join(row[0] for row in rows))) == set(Status)
