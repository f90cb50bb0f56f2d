"""What docs/extending.md promises: its own code blocks make two resources, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg
import pytest
from PIL import Image

from tests.storage.project import empty_database, server_url, skip_without_postgresql
from tests.support.cast import PDF, announcement
from tests.support.server import ROOT, Server

PAGE = (ROOT / "docs" / "extending.md").read_text()
RESOURCES = PAGE[: PAGE.index("## Where new code goes")]
#: Each block of code, with the file that the sentence before it names.
BLOCKS = re.findall(
    r"`([\w/]+\.py)`[^`]*(?:`INSTALLED_APPS`)?[^`]*:\n\n```python\n(.*?)```", RESOURCES, re.DOTALL
)
COMMANDS = re.findall(r"```bash\n(.*?)```", RESOURCES, re.DOTALL)
REGISTRIES = ("backend/settings.py", "api/urls.py")


def test_both_resources_take_less_than_80_lines():
    lines = [line for _file, code in BLOCKS for line in code.splitlines() if line.strip()]

    assert len(lines) < 80
    assert len(BLOCKS) == PAGE[: PAGE.index("## Another store")].count("```python"), "all blocks are counted"


def test_each_registers_in_two_places():
    for name in ("permits", "animals"):
        files = [file for file, code in BLOCKS if name in file or name in code]
        assert sorted(file for file in files if not file.startswith(f"api/{name}/")) == sorted(REGISTRIES)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the code of the page."""
    folder = tmp_path_factory.mktemp("extending") / "copy"
    unwanted = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in ("api", "backend", "bench", "storage", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=unwanted)
    for name in ("manage.py", "gunicorn.conf.py", "pyproject.toml", "schema.yml", ".env.example"):
        shutil.copy(ROOT / name, folder)
    for commands in COMMANDS:
        if commands.startswith("mkdir"):
            shell(folder, commands)
    for file, code in BLOCKS:
        target = folder / file
        target.write_text(_registered(target.read_text(), code) if file in REGISTRIES else code)
    return folder


def _registered(text: str, code: str) -> str:
    """The text of the file with the lines of a registration where the page says that they belong."""
    if "router" not in code:
        end = text.index("\n]\n", text.index("INSTALLED_APPS = [\n")) + len("\n]\n")
        return text[:end] + code + text[end:]
    imported, route = code.strip().split("\n\n")
    imports = re.findall(r"^from api\..*\n", text, re.MULTILINE)
    text = text.replace("".join(imports), "".join(sorted([*imports, f"{imported}\n"])))
    last = text.index("\n", text.rindex("router.register("))
    return text[: last + 1] + f"{route}\n" + text[last + 1 :]


def shell(folder: Path, commands: str, **environment: str) -> str:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**inherited, "ENV_FILE": os.devnull, "DEBUG": "true", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended(copy: Path) -> Iterator[Server]:
    """A running server of the project with the code of the page, after the page's commands."""
    server = Server(copy.parent / "server", workers=1, root=copy)
    server.folder.mkdir()
    schema = "manage.py spectacular --file schema.yml --validate --fail-on-warn"
    for commands in COMMANDS:
        if "manage.py" in commands:
            assert "\nmake schema\n" in commands
            commands = commands.replace("make schema", f".venv/bin/python {schema}")
            shell(copy, commands.replace(".venv/bin/python", sys.executable), **server.environment)
    server.start()
    try:
        yield server
    finally:
        server.__exit__()


@pytest.fixture
def alice(extended: Server) -> httpx.Client:
    """A member who has nothing yet."""
    return extended.client(f"alice-{uuid4()}@example.org")


@pytest.fixture
def bob(extended: Server) -> httpx.Client:
    return extended.client("bob@example.org")


@pytest.fixture
def curator(extended: Server) -> httpx.Client:
    return extended.client("curator@example.org", role="staff")


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def send(client: httpx.Client, ticket: dict[str, Any], content: bytes) -> dict[str, Any]:
    ok(httpx.put(ticket["url"], headers=ticket["headers"], content=content, verify=False))
    completed = ok(client.post(ticket["complete_url"]))
    assert completed["state"] == "completed"
    return completed


def new_permit(client: httpx.Client) -> dict[str, Any]:
    """A permit with its file."""
    created = ok(client.post("/api/v1/permits/", json={"title": "CITES", "upload": announcement()}), 201)
    completed = send(client, created["ticket"], PDF)
    assert completed["resource"].endswith(f"/api/v1/permits/{created['id']}/")
    return ok(client.get(f"/api/v1/permits/{created['id']}/"))


def picture(colour: str) -> bytes:
    content = BytesIO()
    Image.new("RGB", (800, 600), colour).save(content, "PNG")
    return content.getvalue()


def add_picture(client: httpx.Client, animal: str, colour: str) -> None:
    content = picture(colour)
    declared = announcement(content, filename=f"{colour}.png", content_type="image/png")
    ticket = ok(client.post(f"/api/v1/animals/{animal}/pictures/upload-url/", json=declared), 201)
    send(client, ticket, content)


def objects(server: Server) -> list[str]:
    """The keys of all objects, each with its bucket."""
    listing = (
        "from api.reconciliation import stores\n"
        "for store in stores().values():\n"
        "    for info in store.walk(): print(f'{store.bucket}/{info.key}')"
    )
    return sorted(server.manage("shell", "-v0", "-c", listing).splitlines())


@pytest.mark.slow
def test_the_project_is_sound(copy: Path, extended: Server):
    extended.manage("makemigrations", "--check")
    extended.manage("check")
    shell(copy, f"{sys.executable} -m ruff check . && {sys.executable} -m ruff format --check .")
    before, after = (ROOT / "schema.yml").read_text(), (copy / "schema.yml").read_text()
    added = set(after.splitlines()) - set(before.splitlines())
    assert "      operationId: requestPermitUpload" in added
    assert "      operationId: listAnimalPictures" in added
    columns = "from storage.transfer.references import columns; print(*(each.label for each in columns()))"
    assert {"permits.Permit.file", "animals.AnimalPicture.original", "animals.AnimalPicture.jpeg"} <= set(
        extended.manage("shell", "-v0", "-c", columns).split()
    )


@pytest.mark.slow
def test_the_tests_of_the_project_follow(copy: Path, extended: Server):
    """Those that go through all resources."""
    follow = ("test_schema.py", "uploads/test_upload_rules.py", "profiles/test_own_profile.py")
    files = " ".join(f"tests/api/{name}" for name in follow)
    shell(copy, f"{sys.executable} -m pytest -m 'not slow' {files}")


@pytest.mark.slow
def test_what_lists_the_resources_has_them(extended: Server, alice: httpx.Client):
    rules = ok(alice.get("/api/v1/upload-rules/"))

    assert rules["permits"]["file"]["max_bytes"] == 5_000_000
    assert rules["permits"]["file"]["content_types"] == ["application/pdf"]
    assert list(rules["animals"]) == ["image", "pictures"]
    assert {"permits", "animals"} <= ok(alice.get("/api/"))["api"].keys()
    assert "add_permit" in ok(alice.get("/api/v1/profiles/me/"))["permissions"]


@pytest.mark.slow
def test_a_permit_is_the_members_own(alice: httpx.Client, bob: httpx.Client, curator: httpx.Client):
    permit = new_permit(alice)
    path = f"/api/v1/permits/{permit['id']}/"

    assert (permit["title"], permit["file"]["name"]) == ("CITES", "guía.pdf")
    assert permit["owner"]["id"] == ok(alice.get("/api/v1/profiles/me/"))["id"]
    signed = ok(alice.get(f"{path}download-url/"))
    assert httpx.get(signed["url"], verify=False).content == PDF
    assert ok(alice.get("/api/v1/permits/?search=cites&has_file=true"))["count"] == 1
    assert ok(alice.get(f"/api/v1/uploads/?resource={path}"))["count"] == 1
    for method, url in (("get", path), ("get", f"{path}download-url/"), ("delete", path)):
        assert getattr(bob, method)(url).status_code == 404
    assert ok(bob.get("/api/v1/permits/"))["results"] == []
    assert ok(curator.get(path)) == ok(alice.get(path))
    refused = alice.post(f"{path}upload-url/", json=announcement(content_type="image/png"))
    assert ok(refused, 400)["errors"][0]["code"] == "content_type_not_allowed"
    tag = alice.get(path).headers["ETag"]
    assert alice.patch(path, json={"title": "Changed"}, headers={"If-Match": '"other"'}).status_code == 412
    assert ok(alice.patch(path, json={"title": "Changed"}, headers={"If-Match": tag}))["title"] == "Changed"


@pytest.mark.slow
def test_the_file_of_a_permit_counts_and_goes_with_it(extended: Server, alice: httpx.Client):
    permit = new_permit(alice)
    path = f"/api/v1/permits/{permit['id']}/"
    owned = f"documents/{permit['owner']['id']}/"

    assert ok(alice.get("/api/v1/profiles/me/"))["storage"]["used"] == len(PDF)
    assert len([each for each in objects(extended) if each.startswith(owned)]) == 1
    assert alice.delete(f"{path}file/").status_code == 204
    assert ok(alice.get(path))["file"] is None
    assert alice.delete(path).status_code == 204
    assert not [each for each in objects(extended) if each.startswith(owned)]


@pytest.mark.slow
def test_erasing_a_member_deletes_permits_and_their_files(extended: Server, alice: httpx.Client):
    permit = new_permit(alice)
    signed = ok(alice.get(f"/api/v1/permits/{permit['id']}/download-url/"))

    erased = ok(alice.delete("/api/v1/profiles/me/"))

    assert (erased["permits"], erased["objects"], erased["documents"]) == (1, 1, 0)
    assert httpx.get(signed["url"], verify=False).status_code in (400, 404)
    assert not [each for each in objects(extended) if permit["owner"]["id"] in each]


@pytest.mark.slow
def test_the_pictures_of_an_animal(extended: Server, bob: httpx.Client, curator: httpx.Client):
    nobody = extended.client()
    assert bob.post("/api/v1/animals/", json={"name": "Knut"}).status_code == 403
    animal = ok(curator.post("/api/v1/animals/", json={"name": "Knut", "born_on": "2006-12-05"}), 201)
    path = f"/api/v1/animals/{animal['slug']}/"
    assert nobody.get(path).status_code == 404
    ok(curator.patch(path, json={"published": True}))

    add_picture(curator, animal["slug"], "red")
    add_picture(curator, animal["slug"], "blue")

    red, blue = ok(nobody.get(f"{path}pictures/"))["results"]
    assert (red["position"], blue["position"]) == (0, 1)
    assert [each["width"] for each in red["renditions"]] == [320, 640, 800, 800]
    assert all("/public/species/animals/knut/" in each["url"] for each in red["renditions"])
    smallest = httpx.get(red["renditions"][0]["url"], verify=False)
    assert smallest.headers["content-type"] == "image/webp"
    assert Image.open(BytesIO(smallest.content)).size == (320, 240)
    ok(curator.patch(f"{path}pictures/{blue['id']}/", json={"position": 0, "alt": {"en": "A bear"}}))
    assert [each["id"] for each in ok(nobody.get(f"{path}pictures/"))["results"]] == [blue["id"], red["id"]]
    assert ok(nobody.get(path))["image"]["alt"]["en"] == "A bear"
    assert ok(nobody.get("/api/v1/animals/?search=knut"))["count"] == 1
    assert curator.get(f"{path}pictures/{red['id']}/original-url/").status_code == 200

    assert curator.delete(f"{path}pictures/{red['id']}/").status_code == 204
    assert len([each for each in objects(extended) if "/animals/knut/" in each]) == 5  # of the other picture
    assert curator.delete(path).status_code == 204
    assert not [each for each in objects(extended) if "/animals/knut/" in each]


@pytest.mark.slow
def test_the_admin_shows_both(extended: Server, alice: httpx.Client, curator: httpx.Client):
    permit = new_permit(alice)
    animal = ok(curator.post("/api/v1/animals/", json={"name": "Gus"}), 201)
    add_picture(curator, animal["slug"], "green")
    extended.environment |= {"DJANGO_SUPERUSER_PASSWORD": "correct horse"}
    extended.manage("createsuperuser", "--noinput", "--username=root", "--email=root@example.org")
    admin = extended.client()
    page = admin.get("/admin/login/")
    form = {"username": "root", "password": "correct horse", "csrfmiddlewaretoken": page.cookies["csrftoken"]}
    assert (
        admin.post("/admin/login/?next=/admin/", data=form, headers={"Origin": extended.url}).status_code
        == 302
    )

    pages = {
        "": ["Permits", "Animals"],
        "permits/permit/?q=cites": ["CITES", "guía.pdf"],
        f"permits/permit/{permit['id']}/change/": ["Valid until", "guía.pdf", "SHA-256"],
        f"api/profile/{permit['owner']['id']}/change/": [
            f"/admin/permits/permit/?owner__id__exact={permit['owner']['id']}"
        ],
        f"permits/permit/?owner__id__exact={permit['owner']['id']}": ["CITES"],
        "animals/animal/?q=gus": ["Gus", "thumbnail"],
        "animals/animal/add/": ["Born on"],
        f"animals/animal/{animal['id']}/change/": ["Born on", "gallery", "/animals/gus/"],
    }
    for path, texts in pages.items():
        page = admin.get(f"/admin/{path}")
        assert page.status_code == 200, path
        for text in texts:
            assert text in page.text, (path, text)
    download = admin.get(f"/admin/permits/permit/{permit['id']}/download/")
    assert httpx.get(download.headers["Location"], verify=False).content == PDF


@pytest.mark.slow
def test_rows_and_objects_agree(extended: Server, alice: httpx.Client, curator: httpx.Client):
    new_permit(alice)
    animal = ok(curator.post("/api/v1/animals/", json={"name": "Lars"}), 201)
    add_picture(curator, animal["slug"], "black")

    extended.manage("sweep")
    assert ": 0 missing, 0 orphan, 0 size, 0 content_type, 0 pending_removal" in extended.manage(
        "reconcile_storage"
    )


@pytest.mark.slow
def test_the_tables_on_postgresql(copy: Path, extended: Server):
    """Django runs the migration of the animals before that of the API."""
    skip_without_postgresql()
    with empty_database() as name:
        url = urlsplit(server_url())._replace(path=f"/{name}").geturl()
        shell(copy, f"{sys.executable} manage.py migrate -v0", DATABASE_URL=url)
        with psycopg.connect(server_url(), dbname=name) as database:
            indexes = database.execute("SELECT indexname FROM pg_indexes").fetchall()
            assert {("animals_animal_search",), ("permits_permit_search",)} <= set(indexes)
