"""The image of the Containerfile is built and run, and carries files."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.conftest import missing
from tests.deploy.compose import service
from tests.deploy.image import PROGRAMS, Image, built_image, files_of_context, run
from tests.deploy.main_job import PICTURE, carry, png
from tests.support.ports import free_port
from tests.support.redis_server import redis_answers
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow

TRAPS = (
    ".env",
    ".git/config",
    "secrets/secret_key",
    "api/.env",
    "api/__pycache__/old.pyc",
    "media/a.pdf",
    "db.sqlite3",
)


class Running:
    """The image with a database and files of its own."""

    def __init__(self, image: Image, folder: Path, database: str) -> None:
        self.image, self.folder, self.port = image, folder, free_port()
        self.data, self.secrets = folder / "data", folder / "secrets"
        self.data.mkdir()
        os.chown(self.data, 10001, 10001)
        run(ROOT / "deploy/make-secrets", folder / "made")
        shutil.copytree(folder / "made", self.secrets)
        self.secrets.chmod(0o755)  # containers see each file, and not the folder that keeps others out
        (self.secrets / "database_url").write_text(f"postgres://root@127.0.0.1:5432/{database}\n")
        url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            **service("web")["environment"],
            "ALLOWED_HOSTS": "127.0.0.1",
            "PUBLIC_URL": url,
            "CACHE_URL": "redis://127.0.0.1:6379/0",
            "PORT": str(self.port),
        }
        secret = (self.secrets / "supabase_jwt_secret").read_text()
        self.signer = Server(folder, SUPABASE_JWT_SECRET=secret, SUPABASE_JWT_ISSUER=f"{url}/auth/v1")
        self.url = url

    def start(self, name: str) -> subprocess.Popen:
        """Start a service of compose.yaml; the web listens on loopback only."""
        command = service(name).get("command", self.image.config["Cmd"])
        command = [part.replace("0.0.0.0:8000", f"127.0.0.1:{self.port}") for part in command]
        places = {"data": self.data, "secrets": self.secrets, "output": self.folder / f"{name}.log"}
        return self.image.start(*command, **places, **self.environment)

    def run(self, process: subprocess.Popen, *command: str) -> subprocess.CompletedProcess:
        return self.image.execute(process, *command, **self.environment)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def client(self, email: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.signer.token(email)}"} if email else {}
        limits = httpx.Limits(keepalive_expiry=1)
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False, limits=limits)


def test_the_image(tmp_path: Path):
    """One test, because several could be run by several processes, and each would build the image."""
    if os.geteuid() or not all(map(shutil.which, PROGRAMS)) or not redis_answers():
        missing(f"root, a Redis and these programs are needed to build the image: {', '.join(PROGRAMS)}")
    context = working_copy(tmp_path / "context")
    with built_image(context) as image:
        what_the_image_says_about_itself(image)
        only_the_code_is_in_it(image)
        nothing_installs_or_compiles(image)
        no_program_changes_its_user(image)
        every_module_is_compiled(image)
        the_builder_sees_nothing_secret(context)
        with database() as name:
            running = Running(image, tmp_path, name)
            the_image_carries_files(running)
            the_health_checks_can_fail(running)


def working_copy(folder: Path) -> Path:
    """Return a copy of the tracked files, with some more that must not get into the image."""
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for name in TRAPS:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("a trap")
    return folder


@contextmanager
def database() -> Iterator[str]:
    name = f"vivarium_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect("host=127.0.0.1 user=root dbname=test", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        missing("no PostgreSQL on 127.0.0.1:5432")
    with admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def the_image_carries_files(running: Running):
    """migrate, then web and sweep, with the commands and health checks of compose.yaml."""
    migrate = running.start("migrate")
    assert migrate.wait(timeout=60) == 0, running.log("migrate")
    web, sweep = running.start("web"), running.start("sweep")
    try:
        wait_for(running, web, sweep)
        with running.client("alice@example.org") as member, running.client() as stranger:
            carry(member, stranger)
            carry(member, stranger, png(), **PICTURE)
        for process, name in ((web, "web"), (sweep, "sweep")):
            status = Path(f"/proc/{process.pid}/status").read_text()
            assert "Uid:\t10001\t10001\t10001\t10001\n" in status
            assert "CapEff:\t0000000000000000\n" in status
            assert "NoNewPrivs:\t1\n" in status
            assert health(running, process, name) == 0, running.log(name)
        assert running.run(web, *running.image.config["Healthcheck"]["Test"][1:]).returncode == 0
        assert running.run(web, "python", "manage.py", "check", "--deploy").returncode == 0
        assert_read_only(running, web)
    finally:
        codes = [stop(process) for process in (web, sweep)]
    assert codes == [0, 0], running.log("web") + running.log("sweep")
    for name in ("web", "sweep"):
        assert '"level": "error"' not in running.log(name)
    assert "sweep_finished" not in running.log("web")
    assert all(path.stat().st_uid == 10001 for path in (running.data / "media").rglob("*"))


def the_health_checks_can_fail(running: Running):
    idle = running.image.start(
        *("sleep", "60"),
        data=running.data,
        secrets=running.secrets,
        output=running.folder / "idle.log",
    )
    try:
        time.sleep(0.5)
        assert health(running, idle, "web") == 1
        assert health(running, idle, "sweep") == 1
        touch = running.run(idle, "touch", "--date=11 minutes ago", "/tmp/swept")
        assert touch.returncode == 0
        assert health(running, idle, "sweep") == 1
        running.run(idle, "touch", "/tmp/swept")
        assert health(running, idle, "sweep") == 0
    finally:
        idle.kill()
        idle.wait()


def health(running: Running, process: subprocess.Popen, name: str) -> int:
    """Return the exit code of the health check in compose.yaml."""
    kind, *test = service(name)["healthcheck"]["test"]
    command = ["/bin/sh", "-c", *test] if kind == "CMD-SHELL" else test
    return running.run(process, *command).returncode


def assert_read_only(running: Running, process: subprocess.Popen) -> None:
    for path in ("/a", "/app/a", "/app/api/a", "/opt/venv/a", "/usr/a", "/var/a", "/run/secrets/a", "/etc/a"):
        assert running.run(process, "touch", path).returncode == 1, path
    for path in ("/tmp/a", "/data/a"):
        assert running.run(process, "touch", path).returncode == 0, path


def wait_for(running: Running, web: subprocess.Popen, sweep: subprocess.Popen) -> None:
    with running.client() as client:
        for _ in range(600):
            assert web.poll() is None, running.log("web")
            assert sweep.poll() is None, running.log("sweep")
            try:
                if client.get("/readyz").status_code == 200 and "sweep_finished" in running.log("sweep"):
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
    raise AssertionError(running.log("web") + running.log("sweep"))


def stop(process: subprocess.Popen) -> int:
    process.terminate()
    try:
        return process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


# --- What is in it ----------------------------------------------------------------------------------------


def what_the_image_says_about_itself(image: Image):
    config = image.config

    assert config["User"] == "10001:10001"
    assert config["Cmd"] == ["sh", "-c", "exec gunicorn --bind=0.0.0.0:${PORT:-8000}"]
    assert not config.get("Entrypoint")
    assert config["Healthcheck"]["Test"] == ["CMD", "python", "deploy/healthcheck.py"]
    assert config["Labels"]["org.opencontainers.image.title"] == "Vivarium"
    assert config["Labels"]["org.opencontainers.image.version"] == "1.2.3"
    assert not [each for each in config["Env"] if "SECRET" in each or "DEBUG" in each]


def only_the_code_is_in_it(image: Image):
    names = {path.removeprefix("/app/") for path in image.files("app")}

    assert {name.split("/")[0] for name in names} - {"__pycache__"} == {
        *("api", "backend", "deploy", "gunicorn.conf.py", "manage.py", "storage"),
    }
    assert not names & set(TRAPS)
    assert {name for name in names if name.startswith("deploy/") and name.endswith(".py")} == {
        "deploy/healthcheck.py"
    }


def the_builder_sees_nothing_secret(context: Path):
    seen = files_of_context(context)

    assert "api/urls.py" in seen
    assert not seen & set(TRAPS)
    assert {name.split("/")[0] for name in seen} == {
        *("api", "backend", "deploy", "gunicorn.conf.py", "manage.py", "requirements.txt", "storage"),
    }


def nothing_installs_or_compiles(image: Image):
    names = {path.rsplit("/", 1)[1] for path in image.files()}

    assert not names & {"pip", "pip3", "cc", "gcc", "make", "curl", "wget", "ensurepip"}
    for package in ("pip", "ensurepip", "setuptools"):
        found = [path for path in image.files() if f"/{package}/__init__.py" in path]
        assert found == [], package


def no_program_changes_its_user(image: Image):
    files = (image.root / path[1:] for path in image.files())

    assert [path for path in files if not path.is_symlink() and path.stat().st_mode & 0o6000] == []


def every_module_is_compiled(image: Image):
    for folder in ("app", "opt/venv"):
        names = image.files(folder)
        modules = {name for name in names if name.endswith(".py")}
        compiled = {name for name in names if name.endswith(".cpython-311.pyc")}
        expected = {
            f"{name.rpartition('/')[0]}/__pycache__/{name.rpartition('/')[2][:-3]}.cpython-311.pyc"
            for name in modules
        }
        assert expected == compiled
        assert len(expected) > 100
