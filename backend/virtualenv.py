"""Makes a virtualenv and installs requirements: `python3 -m backend.virtualenv .venv requirements.txt`.

It needs the standard library only.
"""

import importlib
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

STAMP = ".installed"  # its first line names the Python and the folder, the others what is installed


def main(folder: str, *requirements: str) -> None:
    """Install these files unless they are installed. Makes the virtualenv anew if it cannot be used."""
    virtualenv, stamp = Path(folder), Path(folder, STAMP)
    origin, *installed = stamp.read_text().splitlines() if stamp.is_file() else [""]
    digests = {name: f"{sha256(Path(name).read_bytes()).hexdigest()} {name}" for name in requirements}
    if origin != _origin(virtualenv):
        _make(virtualenv)
        origin, installed = _origin(virtualenv), []
    missing = [name for name, digest in digests.items() if digest not in installed]
    if not missing:
        return
    stamp.unlink(missing_ok=True)  # without it, the next run starts anew
    print(f"Installing {' and '.join(missing)} into {folder}", flush=True)
    files = [argument for name in missing for argument in ("-r", name)]
    _run(virtualenv / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", *files)
    kept = [line for line in installed if line.partition(" ")[2] not in digests]
    stamp.write_text("\n".join([origin, *kept, *digests.values()]))


def _origin(virtualenv: Path) -> str:
    """Return the Python and the folder. A virtualenv works with no other, because its files name both."""
    return f"{sys.version.split()[0]} {sys.base_prefix} {virtualenv.resolve()}"


def _make(virtualenv: Path) -> None:
    for module in ("venv", "ensurepip"):
        try:
            importlib.import_module(module)
        except ImportError:
            sys.exit(
                f"{sys.executable} has no {module}. On Debian and Ubuntu, as root: apt install python3-venv"
            )
    if virtualenv.is_symlink():
        sys.exit(f"{virtualenv} is a link to {virtualenv.resolve()}, which cannot be used: delete the link.")
    if virtualenv.exists() and any(virtualenv.iterdir()):
        if virtualenv.name != ".venv" and not (virtualenv / "pyvenv.cfg").is_file():
            sys.exit(f"{virtualenv} is no virtualenv: delete it, or name another folder with VENV=")
        print(f"{virtualenv} is of another Python or folder, or its installation failed: it is made anew.")
    _run(Path(sys.executable), "-m", "venv", "--clear", str(virtualenv))


def _run(program: Path, *arguments: str) -> None:
    """Run a program that says itself what fails."""
    if code := subprocess.run([program, *arguments]).returncode:  # noqa: S603  (no user input)
        sys.exit(code)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
