"""A server that is set up as docs/hosting.md says, in a folder of its own instead of `/`.

There is no systemd: the commands of the units are run with their user, environment and restrictions.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.conftest import missing
from tests.deploy.main_job import PICTURE, carry, png
from tests.deploy.nginx import Nginx
from tests.deploy.page import commands
from tests.support.ports import free_port
from tests.support.redis_server import redis_answers
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow

SECTION = "Without containers"
PROGRAMS = ("curl", "make", "openssl", "runuser", "setpriv", "strace", "systemd-analyze", "unshare")
PATHS = (
    "/etc/letsencrypt",
    "/etc/nginx",
    "/etc/ssl/vivarium",
    "/etc/systemd",
    "/etc/vivarium",
    "/opt/vivarium",
    "/var/lib/vivarium",
)
LAUNCHER = Path(__file__).parent / "no_executable_memory.py"
NGINX_MAIN = """
pid {root}/nginx.pid;
error_log {root}/nginx-error.log;
daemon off;
events {{ }}
http {{ include {root}/etc/nginx/sites-enabled/*; }}
"""


class Machine:
    """`root` stands for `/`, the user nobody for vivarium, a new database and role for those of the page."""

    def __init__(self, root: Path, database: str) -> None:
        self.root, self.database = root, database
        self.port, self.state = free_port(), root / "var/lib/vivarium"
        self.front = Nginx(root / "nginx", self.port)
        self.environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",  # the Python of the system
            "HOME": str(root),  # curl's settings are there
            "PGHOST": "127.0.0.1",
            "PGUSER": "root",
            "SYSTEMD_UNIT_PATH": f"{root}/etc/systemd/system:",
            **{name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))},
        }

    def here(self, text: str) -> str:
        """Return a text of the page, or of a file of deploy/, with the paths and names of this machine."""
        text = re.sub(rf"(?<!\w)({'|'.join(PATHS)})\b", rf"{self.root}\1", text)
        replaced = {
            "runuser -u postgres -- ": "",
            "createuser vivarium": f"createuser {self.database}",
            "--owner=vivarium vivarium": f"--owner={self.database} {self.database}",
            "postgres://%2Frun%2Fpostgresql/vivarium": f"postgres://{self.database}@127.0.0.1/{self.database}",
            "secrets vivarium": "secrets nogroup",
            "runuser -u vivarium": "runuser -u nobody",
            "=vivarium\n": "=nobody\n",
            "Group=nobody": "Group=nogroup",
            "nginx -t": f"nginx -t -c {self.root}/etc/nginx/nginx.conf",
        }
        for old, new in replaced.items():
            text = text.replace(old, new)
        # The project of the page cannot be asked for its keys: tokens are signed with the secret.
        return re.sub(r"SUPABASE_JWKS_URL=.*\n", f"PORT={self.port}\n", text)

    def run(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(script)],
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, script + done.stdout + done.stderr
        return done.stdout + done.stderr

    def clone(self) -> None:
        """Do what stands for `git clone`, with the files of deploy/ changed for this machine."""
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            if name.startswith(("api/", "backend/", "storage/", "deploy/")) or "/" not in name:
                target = self.root / "opt/vivarium" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target, follow_symlinks=False)
        shutil.copy(LAUNCHER, self.root)  # the services see no checkout that is below /tmp
        for name in ("vivarium-web.service", "vivarium-sweep.service", "nginx.conf"):
            file = self.root / "opt/vivarium/deploy" / name
            text = file.read_text()
            for old, new in self.front.replacements().items():
                text = text if old.startswith("/etc/ssl") else text.replace(old, new)
            file.write_text(self.here(text))

    def unit(self, name: str) -> RawConfigParser:
        parser = RawConfigParser(strict=False)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(self.root / "etc/systemd/system" / name)
        return parser

    def start(self, name: str, **environment: str) -> subprocess.Popen:
        """Run what the unit starts, as its user, without capabilities; only its folders can be written.

        strace writes the names of all system calls into `<name>.calls`.
        """
        service = self.unit(name)["Service"]
        settings = dict(
            line.split("=", 1) for line in Path(service["EnvironmentFile"]).read_text().splitlines() if line
        )
        settings.update(each.split("=", 1) for each in service["Environment"].split())
        mounts = [
            f"mount --bind {self.state} {self.state}",
            "mount -o remount,bind,ro /",
            "mount -t tmpfs -o mode=1777 tmpfs /tmp",
            f"cd {service['WorkingDirectory']}",
        ]
        limits = [
            *("setpriv", f"--reuid={service['User']}", f"--regid={service['Group']}", "--clear-groups"),
            *("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"),
            *("/usr/bin/python3", str(self.root / LAUNCHER.name)),
            *("strace", "-D", "-f", "-qq", "-o", f"{self.state}/{name}.calls"),
        ]
        script = " && ".join([*mounts, "umask 0077", f"exec {' '.join(limits)} {service['ExecStart']}"])
        with (self.root / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
                env={"PATH": self.environment["PATH"], **settings, **environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text()

    def calls(self, name: str) -> set[str]:
        text = (self.state / f"{name}.calls").read_text()
        return set(re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE))


def test_the_page(nginx: None):
    """One test, because several could be run by several processes, and each would install everything."""
    with machine() as here:
        only_the_group_reads_the_secrets(here)
        the_services_do_the_main_job(here)
        the_sweep(here)
        for name in ("vivarium-web.service", "vivarium-sweep.service"):
            the_unit_exposes_little(here, name)
        against_supabase_by_two_more_settings(here)


@contextmanager
def machine() -> Iterator[Machine]:
    """The page's commands have been run, up to the start of the services."""
    if os.geteuid() or not all(map(shutil.which, PROGRAMS)) or not redis_answers():
        missing(f"root, a Redis and these programs are needed: {', '.join(PROGRAMS)}")
    database = f"vivarium_{uuid4().hex[:12]}"
    try:
        admin = psycopg.connect("host=127.0.0.1 user=root dbname=test", autocommit=True, connect_timeout=5)
    except psycopg.OperationalError:
        missing("no PostgreSQL on 127.0.0.1:5432")
    # Not in /tmp, which the services have for themselves; and everybody may enter it.
    with admin, tempfile.TemporaryDirectory(prefix="vivarium-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        here = Machine(Path(folder), database)
        try:
            here.clone()
            prepare(here)
            for block in commands(SECTION):
                if "STORAGE=supabase" not in block and "curl" not in block:
                    here.run(block)
            yield here
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            admin.execute(f"DROP ROLE IF EXISTS {database}")


def prepare(here: Machine) -> None:
    """Do what Debian's packages and certbot do."""
    for folder in ("etc/systemd/system", "etc/nginx/sites-available", "etc/nginx/sites-enabled", "nginx/log"):
        (here.root / folder).mkdir(parents=True)
    (here.root / "etc/nginx/nginx.conf").write_text(NGINX_MAIN.format(root=here.root))
    certificates = here.root / "etc/letsencrypt/live/api.zoo.example.org"
    certificates.mkdir(parents=True)
    here.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=api.zoo.example.org"
        f" -keyout {certificates}/privkey.pem -out {certificates}/fullchain.pem"
    )
    (here.root / ".curlrc").write_text(
        f'connect-to = "api.zoo.example.org:443:127.0.0.1:{here.front.port}"\n'
        f'cacert = "{certificates}/fullchain.pem"\n'
    )
    here.state.mkdir(parents=True)  # StateDirectory=
    shutil.chown(here.state, "nobody", "nogroup")
    here.state.chmod(0o750)


def the_services_do_the_main_job(machine: Machine):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        address = machine.state / "notify"
        notified.bind(str(address))
        address.chmod(0o666)
        notified.settimeout(60)
        web = machine.start("vivarium-web.service", NOTIFY_SOCKET=str(address))
        try:
            assert notified.recv(1000).startswith(b"READY=1")  # Type=notify
            site = subprocess.Popen(["nginx", "-c", machine.root / "etc/nginx/nginx.conf"])
            try:
                wait_until_ready(machine, web)
                [ask] = [block for block in commands(SECTION) if "curl" in block]
                assert '{"status":"ok"}' in machine.run(ask)
                main_job(machine)
                reload = machine.unit("vivarium-web.service")["Service"]["ExecReload"]
                assert reload == "/bin/kill -HUP $MAINPID"
                web.send_signal(signal.SIGHUP)
                wait_for_log(machine, "vivarium-web.service", "Hang up: Master")
                wait_until_ready(machine, web)
                main_job(machine)
            finally:
                site.terminate()
                site.wait()
        finally:
            stopped = stop(web)
    log = machine.log("vivarium-web.service")
    assert stopped == 0, log
    assert '"level": "error"' not in log, log
    assert "sweep_finished" not in log
    assert forbidden(machine, "vivarium-web.service") == set()
    assert all(path.owner() == "nobody" for path in (machine.state / "media").rglob("*"))


def the_sweep(machine: Machine):
    sweep = machine.start("vivarium-sweep.service")
    try:
        wait_for_log(machine, "vivarium-sweep.service", "sweep_finished")
    finally:
        stopped = stop(sweep)

    assert stopped == 0, machine.log("vivarium-sweep.service")
    assert '"failed": 0' in machine.log("vivarium-sweep.service")
    assert forbidden(machine, "vivarium-sweep.service") == set()


def main_job(machine: Machine) -> None:
    secret = (machine.root / "etc/vivarium/secrets/supabase_jwt_secret").read_text()
    issuer = "https://your-project.supabase.co/auth/v1"
    signer = Server(machine.root, SUPABASE_JWT_SECRET=secret, SUPABASE_JWT_ISSUER=issuer)
    headers = {"Authorization": f"Bearer {signer.token('alice@example.org')}"}
    with connected(machine, headers) as member, connected(machine, {}) as stranger:
        carry(member, stranger)
        carry(member, stranger, png(), **PICTURE)


def connected(machine: Machine, headers: dict[str, str]) -> httpx.Client:
    """Return a client for which api.zoo.example.org is this machine."""

    def rewrite(request: httpx.Request) -> None:
        assert request.url.host == "api.zoo.example.org", request.url
        request.url = request.url.copy_with(host="127.0.0.1", port=machine.front.port)

    return httpx.Client(
        base_url="https://api.zoo.example.org",
        headers=headers,
        timeout=60,
        verify=False,
        event_hooks={"request": [rewrite]},
    )


def wait_until_ready(machine: Machine, running: subprocess.Popen) -> None:
    with connected(machine, {}) as client:
        for _ in range(300):
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert running.poll() is None, machine.log("vivarium-web.service")
            time.sleep(0.1)
    raise AssertionError(machine.log("vivarium-web.service"))


def wait_for_log(machine: Machine, name: str, text: str) -> None:
    for _ in range(300):
        if text in machine.log(name):
            return
        time.sleep(0.1)
    raise AssertionError(machine.log(name))


def stop(running: subprocess.Popen) -> int:
    """End it as systemd does, and return its exit code."""
    running.terminate()
    try:
        return running.wait(timeout=40)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        raise


# --- Restrictions ---------------------------------------------------------------------------------------


def forbidden(machine: Machine, name: str) -> set[str]:
    """Return the system calls that the service makes and its unit forbids."""
    made = machine.calls(name)
    assert "execve" in made
    text = (machine.root / "etc/systemd/system" / name).read_text()
    allowed: set[str] = set()
    for given in re.findall(r"^SystemCallFilter=(.*)$", text, re.MULTILINE):
        for group in given.removeprefix("~").split():
            members = system_calls(group)
            allowed = allowed - members if given.startswith("~") else allowed | members
    return made - allowed


def system_calls(group: str) -> set[str]:
    """Return the members of a group such as @system-service, and of the groups in it."""
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", group], capture_output=True, text=True, check=True
    ).stdout
    found = [line.strip() for line in listed.splitlines()[1:] if line.strip() and "#" not in line]
    return {name for each in found for name in (system_calls(each) if each.startswith("@") else {each})}


def only_the_group_reads_the_secrets(machine: Machine):
    secrets = machine.root / "etc/vivarium/secrets"

    assert (secrets.stat().st_mode & 0o777, secrets.owner(), secrets.group()) == (0o750, "root", "nogroup")
    for file in secrets.iterdir():
        assert file.read_text() not in (machine.root / "etc/vivarium/vivarium.env").read_text()


def the_unit_exposes_little(machine: Machine, name: str):
    """Less than 2.0 of 10, as systemd counts."""
    unit = machine.root / "etc/systemd/system" / name

    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", unit],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


def against_supabase_by_two_more_settings(machine: Machine):
    settings = machine.root / "etc/vivarium/vivarium.env"
    before = settings.read_text()
    [block] = [each for each in commands(SECTION) if "STORAGE=supabase" in each]
    try:
        machine.run(block)
        [check] = [each for each in commands(SECTION) if "check --deploy" in each]
        shell = check.replace("manage.py migrate", "manage.py check").replace(
            "manage.py check --deploy",
            "manage.py shell -v0 -c 'from django.core.files.storage import storages as s;"
            ' print(s["uploads"].origin)\'',
        )
        assert "https://your-project.supabase.co\n" in machine.run(shell)
    finally:
        settings.write_text(before)
