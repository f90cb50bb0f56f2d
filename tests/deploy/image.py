"""Builds the image of the Containerfile with Buildah, and runs it as Compose would, without an engine.

Its base is made by debootstrap, and has the name of the base in the Containerfile: no registry is asked.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support.server import ROOT

PROGRAMS = ("buildah", "chroot", "debootstrap", "nsenter", "setpriv", "unshare")
CONTAINERFILE = (ROOT / "Containerfile").read_text()
BASE = re.findall(r"^ARG PYTHON_IMAGE=(.+)$", CONTAINERFILE, re.MULTILINE)[0]
VERSION, SUITE = re.findall(r"python:([\d.]+)-slim-(\w+)$", BASE)[0]
#: The base is kept for the next run.
CACHE = Path(tempfile.gettempdir()) / f"vivarium-image-{os.getuid()}"


def run(*command: str | Path, **options: Any) -> str:
    options = {"capture_output": True, "text": True, **options}
    done = subprocess.run([str(part) for part in command], **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return str(done.stdout).strip()


def buildah(*arguments: str | Path) -> str:
    places = ("--root", CACHE / "store", "--runroot", CACHE / "run")
    return run("buildah", *places, *arguments)


@contextmanager
def built_image(context: Path) -> Iterator["Image"]:
    """Build the image from the files of `context`."""
    CACHE.mkdir(mode=0o700, exist_ok=True)
    assert CACHE.owner() == "root"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make_base()
    name = f"localhost/vivarium:{uuid4().hex[:12]}"
    options = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--build-arg", "VERSION=1.2.3"]
    buildah(
        "bud", *options, *pip_of_this_machine(), "--tag", name, "--file", context / "Containerfile", context
    )
    container = buildah("from", "--pull-never", name)
    try:
        root = Path(buildah("mount", container))
        yield Image(root, json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"])
    finally:
        buildah("rm", container)
        buildah("rmi", name)


def files_of_context(context: Path) -> set[str]:
    """Return the files that a builder gets to see: those that the ignore file leaves."""
    (context / "All").write_text("FROM scratch\nCOPY . /\n")
    name = f"localhost/context:{uuid4().hex[:12]}"
    buildah("bud", "--isolation", "chroot", "--tag", name, "--file", context / "All", context)
    container = buildah("from", "--pull-never", name)
    try:
        root = Path(buildah("mount", container))
        return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}
    finally:
        buildah("rm", container)
        buildah("rmi", name)


def make_base() -> None:
    """Make what the official image of Python has: Debian, and in /usr/local a Python with pip."""
    if BASE in buildah("images", "--format", "{{.Name}}:{{.Tag}}").splitlines():
        return
    with tempfile.TemporaryDirectory(prefix="vivarium-base-", dir="/var/tmp") as folder:
        root = Path(folder) / "root"
        faster = ["env", "DPKG_FORCE=unsafe-io", *filter(None, [shutil.which("eatmydata")])]  # no fsync
        packages = "--include=ca-certificates,python3-venv"
        run(*faster, "debootstrap", "--variant=minbase", packages, SUITE, root)
        run("chroot", root, "/usr/bin/python3", "-m", "venv", "--copies", "/usr/local")
        found = run("chroot", root, "/usr/local/bin/python", "--version")
        assert found.startswith(f"Python {VERSION}."), f"{BASE} has another Python than Debian: {found}"
        for waste in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale"):
            shutil.rmtree(root / waste)
        container = buildah("from", "scratch")
        buildah("add", "--quiet", container, root, "/")
        buildah("commit", "--quiet", "--rm", container, BASE)


def pip_of_this_machine() -> list[str]:
    """Return options with which pip in the image reaches the package index that pip here does.

    They mount a pip.conf with the settings of this machine, and the files and folders that those name.
    """
    listed = run(sys.executable, "-m", "pip", "config", "list")
    values = dict(re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    file = CACHE / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    named = [Path(text.removeprefix("file://")) for value in values.values() for text in value.split()]
    folders = {path.parent if path.name == "simple" else path for path in named if path.is_absolute()}
    mounts = [f"{path}:{path}:ro" for path in sorted(folders) if path.exists()]
    return [part for mount in [f"{file}:/etc/pip.conf:ro", *mounts] for part in ("--volume", mount)]


class Image:
    """`root` is its file system, `config` what it says about itself: Env, Cmd, User, Healthcheck, Labels."""

    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        self.root, self.config = root, config

    def start(
        self, *command: str, data: Path, secrets: Path, output: Path, **environment: str
    ) -> subprocess.Popen:
        """Run a command as compose.yaml says: read-only, with volumes, without capabilities.

        The process has the id of the command.
        """
        root = self.root
        mounts = [
            f"mount --bind {root} {root}",
            f"mount -o remount,bind,ro {root}",
            f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",
            f"mount --bind {data} {root}/data",
            f"mount -t tmpfs tmpfs {root}/run",
            f"mkdir {root}/run/secrets",
            f"mount --bind {secrets} {root}/run/secrets",
            f"mount -o remount,ro {root}/run",
            f"mount --bind /dev {root}/dev",
            f"mount --bind /proc {root}/proc",
            'exec "$@"',
        ]
        inside = self._inside(*command, **environment)
        with output.open("ab") as written:
            return subprocess.Popen(
                [
                    "unshare",
                    "--mount",
                    "--propagation",
                    "private",
                    "sh",
                    "-c",
                    " && ".join(mounts),
                    "sh",
                    *inside,
                ],
                stdout=written,
                stderr=written,
                start_new_session=True,
            )

    def execute(
        self, process: subprocess.Popen, *command: str, **environment: str
    ) -> subprocess.CompletedProcess:
        """Run a command beside a running one, as `docker compose exec` and health checks do."""
        beside = ["nsenter", "--mount", f"--target={process.pid}"]
        return subprocess.run(
            [*beside, *self._inside(*command, **environment)], capture_output=True, text=True, timeout=60
        )

    def _inside(self, *command: str, **environment: str) -> list[str]:
        variables = [*self.config["Env"], *(f"{name}={value}" for name, value in environment.items())]
        user = f"--userspec={self.config['User']}"
        limits = ["setpriv", "--no-new-privs", "--bounding-set=-all,+sys_chroot,+setuid,+setgid"]
        return [
            *limits,
            *("chroot", user, "--groups=", str(self.root), "/usr/bin/env", "-i"),
            f"--chdir={self.config['WorkingDir']}",
            *variables,
            *command,
        ]

    def files(self, folder: str = "") -> set[str]:
        """Return the paths of all files in a folder."""
        found = (self.root / folder).rglob("*")
        return {f"/{path.relative_to(self.root)}" for path in found if path.is_symlink() or path.is_file()}
