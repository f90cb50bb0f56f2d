"""nginx with deploy/nginx.conf on loopback: only ports, paths and the certificate are others."""

import getpass
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.ports import free_port
from tests.support.server import ROOT

MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
user {user};
worker_processes 1;
events {{ worker_connections 512; }}
http {{
    include {types};
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/responses;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Nginx:
    """In front of the server at `port`, with its files in `media`.

    `url` is its address with TLS, `plain_url` that without.
    """

    def __init__(self, folder: Path, port: int, media: Path | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.plain_port, self.port = free_port(), free_port()
        self.plain_url, self.url = f"http://127.0.0.1:{self.plain_port}", f"https://127.0.0.1:{self.port}"
        self.upstream = port
        self.media = media or folder / "media"
        self.bodies = folder / "bodies"
        self.user = getpass.getuser()  # of its workers, if root starts it
        self.access_log = folder / "log" / "vivarium.access.log"

    def replacements(self) -> dict[str, str]:
        """Return what stands in deploy/nginx.conf, and what is put there."""
        return {
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "listen [::]:80;": "",
            "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
            "listen [::]:443 ssl http2;": "",
            "127.0.0.1:8000": f"127.0.0.1:{self.upstream}",
            "/etc/ssl/vivarium/": f"{self.folder}/",
            "/var/log/nginx/": f"{self.folder}/log/",
            "/var/lib/vivarium/media/": f"{self.media}/",
        }

    def __enter__(self) -> "Nginx":
        make_certificate(self.folder)
        site = (ROOT / "deploy" / "nginx.conf").read_text()
        for old, new in self.replacements().items():
            assert old in site, old
            site = site.replace(old, new)
        (self.folder / "log").mkdir()
        (self.folder / "site.conf").write_text(site)
        main = MAIN.format(folder=self.folder, user=self.user, types="/etc/nginx/mime.types")
        (self.folder / "nginx.conf").write_text(main)
        command = [nginx_program(), "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True)
        assert checked.returncode == 0, checked.stderr
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError((self.folder / "error.log").read_text())

    def __exit__(self, *error: Any) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def client(self, token: str = "", *, http2: bool = True) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, verify=False, http2=http2)

    def connections_upstream(self) -> int:
        """Return how many connections nginx has to gunicorn."""
        wanted = f":{self.upstream:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[2].endswith(wanted) and row[3] == "01" for row in rows)

    def peak_memory(self) -> int:
        """Return the most bytes that its worker has had in memory."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        status = Path(f"/proc/{children[0]}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024


def nginx_program() -> str:
    """Return nginx. Debian has it in a folder that is not on the PATH of users."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or ""


def make_certificate(folder: Path) -> None:
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout"]
    files = [folder / "key.pem", *subject, "-out", folder / "certificate.pem"]
    subprocess.run(["openssl", "req", "-x509", "-days", "2", *key, *files], check=True, capture_output=True)
