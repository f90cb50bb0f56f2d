"""The snippets of docs/clients.md and docs/local-store.md, each run against a real server."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cast import PDF
from tests.support.pages import PAGES
from tests.support.server import CLIENTS, Server

pytestmark = pytest.mark.slow

PAGE = PAGES["docs/clients.md"]
ADDRESS = "http://127.0.0.1:8000"
#: What the snippets take as given: a file of the browser, or one that was picked on a telephone.
GIVEN = """
import { readFileSync } from 'node:fs'
import { JSDOM } from 'jsdom'
const content = readFileSync(process.argv[2])
globalThis.WebSocket ??= new JSDOM('').window.WebSocket
const file = new File([content], 'plan.pdf', { type: 'application/pdf' })
const asset = { uri: `file://${process.argv[2]}`, name: 'plan.pdf', mimeType: 'application/pdf' }
"""
#: React Native's `fetch` reads files of the device, and its network code takes no `File`.
NATIVE = """
const online = globalThis.fetch
globalThis.fetch = async (url, options) => {
  if (String(url).startsWith('file:')) return new Response(readFileSync(new URL(url)))
  if (options?.body instanceof Blob) throw new TypeError('Creating blobs from files is not supported')
  return online(url, options)
}
"""
#: Uppy sends with the browser's XMLHttpRequest.
BROWSER = """
const { window } = new JSDOM('', { url: process.argv[3] })
Object.assign(globalThis, { window, document: window.document, XMLHttpRequest: window.XMLHttpRequest })
"""
STUBS = {
    "@react-native-async-storage/async-storage": """
        const kept = new Map()
        export default {
          getItem: async (key) => kept.get(key) ?? null,
          setItem: async (key, value) => void kept.set(key, String(value)),
          removeItem: async (key) => void kept.delete(key),
        }""",
    "expo-file-system/legacy": """
        import { readFileSync } from 'node:fs'
        export const FileSystemUploadType = { BINARY_CONTENT: 0, MULTIPART: 1 }
        export const FileSystemSessionType = { BACKGROUND: 0, FOREGROUND: 1 }
        export async function uploadAsync(url, uri, { httpMethod, headers, uploadType, sessionType }) {
          if (uploadType !== 0 || sessionType !== 0) throw new Error('not in the background')
          const answer = await fetch(url, { method: httpMethod, headers, body: readFileSync(new URL(uri)) })
          return { status: answer.status, body: await answer.text() }
        }""",
}


def snippet(first_line: str) -> str:
    """The JavaScript block that begins with this comment."""
    [found] = [code for code in PAGE.code("js") if code.startswith(f"// {first_line}\n")]
    return found


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("clients")) as server:
        server.manage("load_demo")
        yield server


@pytest.fixture
def folder(npm: None, tmp_path: Path) -> Path:
    """A folder in which scripts find the packages from npm, and stand-ins for those of a telephone."""
    modules = tmp_path / "node_modules"
    modules.mkdir()
    for package in (CLIENTS / "node_modules").iterdir():
        (modules / package.name).symlink_to(package)
    for name, code in STUBS.items():
        package, _, part = name.partition("/") if not name.startswith("@") else (name, "", "")
        (modules / package).mkdir(parents=True)
        (modules / package / f"{part or 'index'}.mjs").write_text(code)
        exports = f'{{"./{part}": "./{part}.mjs"}}' if part else '"./index.mjs"'
        (modules / package / "package.json").write_text(f'{{"name": "{package}", "exports": {exports}}}')
    (tmp_path / "plan.pdf").write_bytes(PDF)
    return tmp_path


def run_js(server: Server, folder: Path, *parts: str) -> list[str]:
    """Run these parts of a script, and return what it prints. Imports go first, as modules want them."""
    text = "\n".join(parts)
    imports = "".join(sorted(set(re.findall(r"^import .*\n", text, re.MULTILINE))))
    script = folder / "script.mjs"
    rest = re.sub(r"^import .*\n", "", text, flags=re.MULTILINE)
    script.write_text(f"{imports}{rest}\nprocess.exit(0)\n".replace(ADDRESS, server.url))
    done = subprocess.run(
        ["node", script, folder / "plan.pdf", server.url], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


START = (GIVEN, snippet("sign in"), snippet("ask"))
WAYS = [
    ("fetch", ""),
    ("supabase-js", ""),
    ("Uppy", BROWSER),
    ("tus-js-client, for large files: it resumes an interrupted upload", ""),
]


@pytest.mark.parametrize(("way", "given"), WAYS, ids=["fetch", "supabase-js", "uppy", "tus"])
def test_a_file_is_sent_from_a_browser(demo: Server, folder: Path, way: str, given: str):
    sending = "{" + re.sub(r"^import .*\n", "", snippet(way), flags=re.MULTILINE) + "}"
    imports = "".join(re.findall(r"^import .*\n", snippet(way), re.MULTILINE))
    # In Node, tus-js-client takes the content of a file, and a `File` belongs to jsdom's window.
    file = {"tus": "content"}.get(way[:3], "file")
    if given:
        file = "new window.File([content], file.name, { type: file.type })"
        sending = sending.replace("data: file", f"data: {file}")
    sending = sending.replace("tus.Upload(file,", f"tus.Upload({file},")

    said = run_js(demo, folder, *START, snippet("ticket"), given, imports, sending, snippet("complete"))

    assert said[-1] == "completed"


def test_open_tickets_are_found_again(demo: Server, folder: Path):
    said = run_js(demo, folder, *START, snippet("ticket"), snippet("open tickets"))

    assert any(line.startswith("plan.pdf goes to ") for line in said)


@pytest.mark.parametrize("in_background", [False, True], ids=["ArrayBuffer", "background"])
def test_a_file_is_sent_from_react_native(demo: Server, folder: Path, in_background: bool):
    snippets = [snippet("React Native: an ArrayBuffer")]
    if in_background:  # in place of the `fetch` at the end
        before, fetching = snippets[0].rsplit("await fetch(ticket.url", 1)
        assert "body: bytes" in fetching
        snippets = [before, snippet("React Native: in the background")]

    said = run_js(demo, folder, *START, NATIVE, *snippets, snippet("complete"))

    assert said == ["completed"]


def test_an_upload_goes_on_after_the_app_was_closed(demo: Server, folder: Path):
    """The first upload is aborted when its place is known; the second one, a new object, goes on there."""
    driver = """
        const { endpoint, headers, metadata } = ticket.resumable
        const options = { endpoint, headers, metadata, urlStorage, fingerprint: async () => ticket.path }
        await new Promise((resolve, reject) => {
          const first = new tus.Upload(content, {
            ...options, chunkSize: 1000, onError: reject, onChunkComplete: () => first.abort().then(resolve),
          })
          first.start()
        })
        const second = await new Promise(async (resolve, reject) => {
          const onSuccess = () => resolve(upload)
          const upload = new tus.Upload(content, { ...options, onError: reject, onSuccess })
          const [previous] = await upload.findPreviousUploads()
          upload.resumeFromPreviousUpload(previous)
          upload.start()
        })
        console.log(second.url.length > 0)
    """
    said = run_js(
        demo,
        folder,
        "import * as tus from 'tus-js-client'\n",
        *START,
        snippet("ticket"),
        snippet("React Native: tus-js-client"),
        driver,
        snippet("complete"),
    )

    assert said == ["true", "completed"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["errors"], ["invalid", "#/title"]),
        (["repeated"], ["true"]),
        (["ticket", "conflict"], ["412 precondition_failed"]),
        (["sync"], ["true"]),
        (
            ["rules"],
            [
                "application/pdf,image/jpeg,image/png,.pdf,.jpg,.jpeg,.png",
                f"at most {50 * 2**20} bytes",
            ],
        ),
    ],
    ids=["errors", "repeated", "conflict", "sync", "rules"],
)
def test_a_snippet_prints_what_its_comments_say(
    demo: Server, folder: Path, names: list[str], said: list[str]
):
    assert run_js(demo, folder, *START, *map(snippet, names)) == said


def test_a_picture_is_shown_in_the_width_that_fits(demo: Server, folder: Path):
    window = "globalThis.Image = new JSDOM('').window.Image"
    [width] = run_js(
        demo, folder, *START, window, snippet("pictures"), "console.log(img.srcset.split(' ')[1])"
    )

    assert width == "320w,"


def test_a_picture_has_the_members_of_the_example(demo: Server):
    [example] = [code for code in PAGE.code("json") if code.startswith('"image"')]
    shown = json.loads(f"{{{example}}}")["image"]

    image = demo.client().get("/api/v1/species/african-penguin/").json()["image"]

    assert shown.keys() <= image.keys()
    assert shown["renditions"][0].keys() == image["renditions"][0].keys()


def test_the_body_with_upload_brings_a_ticket(demo: Server):
    [example] = [code for code in PAGE.code("json") if '"upload"' in code]

    response = demo.client("alice@example.org").post("/api/v1/documents/", json=json.loads(example))

    assert response.status_code == 201
    assert response.json()["ticket"]["state"] == "pending"


def test_signing_in_locally(demo: Server, folder: Path):
    [code] = PAGES["docs/local-store.md"].code("js")

    said = run_js(demo, folder, GIVEN, code, "console.log((await supabase.auth.getUser()).data.user.email)")

    assert said == ["alice@example.org"]


def test_curl_carries_a_file_through(demo: Server, tmp_path: Path):
    [script] = PAGE.code("bash")
    bash = shutil.which("bash")
    assert bash

    done = subprocess.run(
        [bash, "-euo", "pipefail", "-c", script.replace(ADDRESS, demo.url)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "completed"


def test_python_carries_a_file_through_at_once_and_in_parts(demo: Server, tmp_path: Path):
    main_job, in_parts = PAGE.code("python")
    another = "ticket = api.post(f\"documents/{document['id']}/upload-url/\", json=declared).json()\n"
    complete = 'print(api.post(ticket["complete_url"]).json()["state"])\n'
    script = "\n".join([main_job, another, in_parts, complete]).replace(ADDRESS, demo.url)

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["completed", "completed"]


def test_no_snippet_is_left_out():
    tested = Path(__file__).read_text()
    for code in PAGE.code("js"):
        first_line = code.partition("\n")[0].removeprefix("// ")
        assert f'"{first_line}"' in tested, first_line
    assert (len(PAGE.code("bash")), len(PAGE.code("python"))) == (1, 2)
