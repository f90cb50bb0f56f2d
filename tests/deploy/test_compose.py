"""compose.yaml keeps its promises, and the three settings of docs/hosting.md lead to each store."""

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from tests.conftest import missing
from tests.deploy.compose import SETTINGS, compose, service
from tests.deploy.nginx import nginx_program
from tests.deploy.page import PAGE, commands
from tests.support.server import ROOT

SERVICES = sorted(compose()["services"])
SECTION = "With containers"


def test_the_services():
    assert SERVICES == ["migrate", "nginx", "postgres", "redis", "sweep", "web"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_limits_and_a_health_check(name: str):
    it = service(name)

    assert re.fullmatch(r"\d+[mg]", it["mem_limit"])
    assert 0 < it["cpus"] <= 2
    assert 0 < it["pids_limit"] <= 512
    assert it["restart"] == ("no" if name == "migrate" else "unless-stopped")
    if name == "migrate":  # it ends, and web and sweep wait for its exit code
        assert it["healthcheck"] == {"disable": True}
    else:
        assert {"test", "interval", "timeout", "retries"} <= it["healthcheck"].keys()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little(name: str):
    it = service(name)

    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert "cap_add" not in it
    assert not it.get("privileged")
    assert it["security_opt"] == ["no-new-privileges:true"]
    if name in ("nginx", "postgres", "redis"):
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", it["user"])  # ours has its user in the image
    assert it["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_by_a_version(name: str):
    tag = service(name)["image"].rpartition(":")[2]

    assert (
        re.match(r"\d+(\.\d+)*-bookworm$", tag) if name in ("nginx", "postgres", "redis") else tag == "local"
    )


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_the_environment(name: str):
    """Only the paths of files, each of which is mounted."""
    it = service(name)

    for variable, value in it.get("environment", {}).items():
        if re.search("SECRET|PASSWORD|KEY|TOKEN|DATABASE_URL", variable):
            assert variable == "SUPABASE_JWKS_URL" or variable.endswith("_FILE"), variable
        if variable.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/") in it["secrets"]


def test_every_secret_is_a_file_that_the_page_makes(tmp_path: Path):
    make, certificate = commands(SECTION)[:2]
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for script in (make, certificate, make):
        subprocess.run(["sh", "-euc", script], cwd=tmp_path, check=True, capture_output=True)

    files = [tmp_path / each["file"] for each in compose()["secrets"].values()]

    assert all(file.stat().st_size for file in files)
    assert {file.stat().st_mode & 0o777 for file in files} == {0o644}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    password = (tmp_path / "secrets/postgres_password").read_text()
    assert f":{password}@postgres:" in (tmp_path / "secrets/database_url").read_text()
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/secrets/" in ignored


def test_secrets_that_exist_are_kept(tmp_path: Path):
    command = [ROOT / "deploy/make-secrets", tmp_path / "secrets"]
    subprocess.run(command, check=True)
    key, url = tmp_path / "secrets/secret_key", tmp_path / "secrets/database_url"
    before = key.read_text()
    url.write_text("postgres://elsewhere/zoo")

    subprocess.run(command, check=True)

    assert key.read_text() == before
    assert url.read_text() == "postgres://elsewhere/zoo"
    assert len(before) == 64


def test_who_reaches_whom():
    networks = {name: set(service(name)["networks"]) for name in SERVICES}

    def on(network: str) -> set[str]:
        return {name for name, its in networks.items() if network in its}

    assert on("cache") == {"redis", "web", "sweep"}
    assert on("database") == {"postgres", "web", "sweep", "migrate"}
    assert on("front") == {"nginx", "web"}
    assert on("internet") == {"web", "sweep"}
    assert [name for name, network in compose()["networks"].items() if (network or {}).get("internal")] == [
        *("database", "cache"),
    ]
    assert [name for name in SERVICES if "ports" in service(name)] == ["nginx"]
    nginx = service("nginx")["networks"]["front"]["ipv4_address"]
    assert service("web")["environment"]["FORWARDED_ALLOW_IPS"] == nginx


def test_the_sweep_runs_once():
    assert service("web")["environment"]["SWEEP_EVERY"] == "0"
    assert service("sweep")["command"][:4] == ["python", "manage.py", "sweep", "--every"]
    for name in ("web", "sweep"):
        assert service(name)["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_both_ignore_files_are_one():
    """Docker reads `.dockerignore`, Buildah and Podman `.containerignore`."""
    assert (ROOT / ".dockerignore").read_text() == (ROOT / ".containerignore").read_text()


@pytest.mark.parametrize("store", ["local", "supabase"])
def test_the_settings_of_the_page(store: str, tmp_path: Path):
    """Its commands are run, and the settings read what Compose would make of them."""
    make, _, basic, supabase, local = commands(SECTION)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    for script in (make, basic, supabase if store == "supabase" else local):
        key = script.replace("sb_secret_YOUR_SECRET_KEY", "sb_secret_zK8vTn4Yb9Hc3Jd6Fg1Ms5PaEo")
        subprocess.run(["sh", "-euc", key], cwd=tmp_path, check=True)
    written = dict(line.split("=", 1) for line in (tmp_path / ".env").read_text().splitlines())
    assert len(re.findall("^[A-Z_]+=", supabase, re.MULTILINE)) + supabase.count("> secrets/") == 3

    compose.cache_clear()
    with patch.dict(SETTINGS, written):
        environment = service("web")["environment"]
    compose.cache_clear()
    environment = {
        name: value.replace("/run/secrets/", f"{tmp_path}/secrets/") for name, value in environment.items()
    }
    read = settings_of(environment)

    assert read["STORAGE"] == store
    assert read["ALLOWED_HOSTS"] == ["api.zoo.example.org"]
    assert read["DATABASES"]["default"]["HOST"] == "postgres"
    assert read["SUPABASE_JWT_ISSUER"] == "https://your-project.supabase.co/auth/v1"
    assert read["SUPABASE_JWKS_URL"] == "https://your-project.supabase.co/auth/v1/.well-known/jwks.json"
    url = "https://your-project.supabase.co" if store == "supabase" else "https://api.zoo.example.org"
    assert read["SUPABASE_URL"] == url
    if store == "supabase":
        assert read["SUPABASE_SECRET_KEY"] == "sb_secret_zK8vTn4Yb9Hc3Jd6Fg1Ms5PaEo"


def settings_of(environment: dict[str, str]) -> dict[str, Any]:
    with patch.dict(os.environ, {"ENV_FILE": os.devnull, **environment}, clear=True):
        return runpy.run_path(str(ROOT / "backend" / "settings.py"))


def test_the_page_has_no_other_commands():
    """Those of two sections are run, here and in test_without_containers.py."""
    assert PAGE.count("```bash\n") == len(commands(SECTION) + commands("Without containers"))


# --- With the programs themselves -------------------------------------------------------------------------


@pytest.mark.slow
def test_compose_accepts_it():
    """Debian's docker-compose: `config` needs no engine."""
    program = shutil.which("docker-compose")
    if not program:
        missing("docker-compose is needed to check compose.yaml")
    done = subprocess.run(
        [program, "--file", ROOT / "compose.yaml", "config"],
        env={"PATH": os.environ["PATH"], **SETTINGS},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    resolved = yaml.safe_load(done.stdout)["services"]["web"]["environment"]
    assert resolved == service("web")["environment"]


@pytest.mark.slow
def test_nginx_accepts_what_its_service_makes_of_the_file(nginx: None, tmp_path: Path):
    """The command of the service, until it would start nginx."""
    shell, option, script = service("nginx")["command"]
    here = script.replace("/vivarium/nginx.conf", str(ROOT / "deploy/nginx.conf"))
    here = here.replace("/etc/nginx/conf.d", str(tmp_path)).partition(" && exec ")[0]

    subprocess.run([shell, option, here], env={"VIVARIUM_HOST": "api.aquarium.example.org"}, check=True)

    made = (tmp_path / "vivarium.conf").read_text()
    assert "server web:8000 " in made
    assert "server_name api.aquarium.example.org;" in made
    assert "zoo.example.org;" not in made
    assert made.count("access_log /dev/stdout vivarium;") == made.count("error_log /dev/stderr crit;") == 2
    certificate = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "certificate.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a", *certificate],
        check=True,
        capture_output=True,
    )
    local = made.replace("/etc/ssl/vivarium", str(tmp_path)).replace("web:8000", "127.0.0.1:8000")
    local = re.sub(r"listen (\[::\]:)?\d+", "listen 127.0.0.1:8443", local, count=0)
    local = local.replace("listen 127.0.0.1:8443;\n    listen 127.0.0.1:8443;", "listen 127.0.0.1:8080;")
    local = local.replace("listen 127.0.0.1:8443 ssl http2;\n    listen", "listen")
    main = f"pid {tmp_path}/pid; events {{ }}\nhttp {{\n{local}\n}}\n"
    (tmp_path / "nginx.conf").write_text(main.replace("/dev/stdout", f"{tmp_path}/log"))
    checked = subprocess.run(
        [nginx_program(), "-t", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr
