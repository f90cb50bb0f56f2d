"""The configuration of gunicorn, which reads this file from the current folder: run `gunicorn`."""

import atexit
import gc
import glob
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from threading import Timer

from gunicorn import util

gc.disable()  # while all is loaded: none of it is garbage

PROJECT = ("api", "backend", "storage")
# SIGHUP: this file is read again, and the new processes are forked from this one, with its modules.
if "backend.settings" in sys.modules:
    done = subprocess.run(
        [sys.executable, "-c", "import backend.settings"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = done.stderr.strip()[-500:]
        print(f"The new settings cannot be used, the old ones stay: {reason}", file=sys.stderr)
    else:
        for name in [name for name in sys.modules if name.partition(".")[0] in PROJECT]:
            del sys.modules[name]

from backend.access_log import AccessLogger, clear_request_id
from backend.malloc import share_memory
from backend.request_reader import MAX_HEAD
from backend.settings import (
    BASE_DIR,
    CACHES,
    FORWARDED_ALLOW_IPS,
    LOCAL_AUTH,
    LOGGING,
    METRICS_BIND,
    METRICS_TOKEN,
    PORT,
    STORAGE,
    STORAGE_TIMEOUT,
    STORAGE_WEBHOOK_SECRET,
    SUPABASE_JWKS_URL,
    SUPABASE_SIGNING,
    SUPABASE_URL,
    SWEEP_EVERY,
    THREADS,
    WEB_CONCURRENCY,
)
from backend.worker import leave_open, refusal_observers, write_error


def delete_in(process: int, folder: str) -> None:
    """Delete the folder, if this is that process: those that it starts inherit what it does at its end."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


wsgi_app = "backend.wsgi"
bind = [f"127.0.0.1:{PORT}", *filter(None, [METRICS_BIND])]
worker_class = "backend.worker.Worker"
worker_connections = 1000  # of each process; beyond them, those that have sent the least are closed
workers = WEB_CONCURRENCY
threads = THREADS  # each slow upload or download of the local store occupies one
timeout = 60
forwarded_allow_ips = ",".join(FORWARDED_ALLOW_IPS)
limit_request_line = 8190
limit_request_field_size = MAX_HEAD  # a token may have half of that, so the API can say that one is too long
# A process that cannot open a file for a new connection ends. Many systems allow only 1,024 until asked.
# Each thread also has connections to the database, the cache and the storage.
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
enough = worker_connections + 32 * threads + 256
if soft != resource.RLIM_INFINITY and soft < enough:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(enough, hard) if hard > 0 else enough, hard))
share_memory()  # of this process, and of those that it forks
control_socket_disable = True
forwarder_headers = ""  # gunicorn would cut the value of a header SCRIPT_NAME from the path

logconfig_dict = LOGGING

# Each process counts in files of this folder, also the sweep: see `backend/metrics.py`. An upgrade without
# a pause starts a second master, which inherits the environment and needs a folder of its own.
METRICS_FOLDER = f"vivarium-metrics-{os.getpid()}-"
if (METRICS_TOKEN or METRICS_BIND) and METRICS_FOLDER not in os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""):
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix=METRICS_FOLDER)
    atexit.register(delete_in, os.getpid(), os.environ["PROMETHEUS_MULTIPROC_DIR"])


#: What a message of gunicorn quotes with `repr`.
QUOTED = re.compile(r"""(?:\bb)?(['"]).*\1""", re.DOTALL)


class logger_class(AccessLogger):  # noqa: N801  (the name of a setting)
    def warning(self, msg, *args, **options):  # type: ignore[no-untyped-def]
        """Log why a request is refused, and not what gunicorn quotes of it: that may be a password."""
        super().warning(QUOTED.sub("[redacted]", msg), *args, **options)


def on_starting(server):  # type: ignore[no-untyped-def]
    if METRICS_BIND and METRICS_BIND not in server.cfg.bind:
        raise RuntimeError(f"--bind takes the place of METRICS_BIND: add `--bind {METRICS_BIND}`.")


def when_ready(server):  # type: ignore[no-untyped-def]
    """Start the sweep in a process of its own. It ends with this process, also if that is killed."""
    if SWEEP_EVERY:
        command = [sys.executable, str(BASE_DIR / "manage.py"), "sweep"]
        options = ["--every", str(SWEEP_EVERY), "--parent", str(server.pid)]
        server.sweep = subprocess.Popen([*command, *options])  # noqa: S603  (no user input)


def post_fork(server, worker):  # type: ignore[no-untyped-def]
    gc.disable()  # while the application is loaded: none of it is garbage


LOADING_DELAY = 1  # seconds after the start of a worker


def load_libraries(log):  # type: ignore[no-untyped-def]
    """Load the libraries that only requests need, so that no request waits for them."""
    for name in libraries_of_requests():
        try:
            import_module(name)
        except Exception:
            log.exception("Cannot load %s: requests that need it will fail.", name)


def libraries_of_requests():  # type: ignore[no-untyped-def]
    """Yield the modules that these settings make requests load."""
    if "redis" in CACHES["default"]["BACKEND"]:
        yield "redis"
    yield "puremagic"
    if STORAGE == "supabase":
        yield from ("stamina", "storage.supabase.http_client")
        if SUPABASE_SIGNING == "server":
            yield "storage3"
    elif SUPABASE_JWKS_URL or STORAGE_WEBHOOK_SECRET:
        yield "storage.supabase.transport"
    yield "segno"


def post_worker_init(worker):  # type: ignore[no-untyped-def]
    """Prepare a worker that is about to answer. The first one prints the addresses for `make run`."""
    from django.urls import get_resolver  # noqa: PLC0415  (Django is set up by now, in this process)

    from backend.metrics import count_problem  # noqa: PLC0415
    from backend.postgresql.pool import wait_for_pool  # noqa: PLC0415

    refusal_observers.append(count_problem)
    get_resolver().url_patterns  # noqa: B018  (the views are loaded)
    wait_for_pool()
    gc.freeze()  # what is loaded by now stays: the garbage collector need not look at it again and again
    # The objects of a request refer to each other, and most outlive the youngest generation, because other
    # threads make objects meanwhile. So the older ones are collected more often than by default (10 and 10;
    # Python 3.14 has only one older generation, and ignores the 1).
    gc.set_threshold(gc.get_threshold()[0], 5, 1)
    gc.enable()
    loading = Timer(LOADING_DELAY, load_libraries, [worker.log])  # a thread: the worker answers meanwhile
    loading.daemon = True
    loading.start()
    if os.environ.get("SHOW_BANNER") and worker.age == 1:
        with suppress(OSError):  # nobody reads it
            print(banner(), flush=True)


def banner() -> str:
    manage = shlex.quote(os.path.relpath(os.path.join(sys.prefix, "bin", "python"))) + " manage.py"
    port = f"PORT={PORT} " if os.environ.get("PORT") else ""  # else commands find the same one
    return f"""
  Start     http://127.0.0.1:{PORT}/
  Docs      http://127.0.0.1:{PORT}/api/docs/{sign_in() if LOCAL_AUTH else ""}
  A token   {port}{manage} issue_token alice@example.org
  Staff     {port}{manage} issue_token curator@example.org --role staff
  Admin     http://127.0.0.1:{PORT}/admin/ after {manage} createsuperuser
"""


def sign_in() -> str:
    """Return the lines about the accounts of the demo, which `load_demo` creates."""
    from api.demo.accounts import ACCOUNTS, PASSWORD  # noqa: PLC0415  (only `make run` prints them)

    accounts = [f"{each.email} ({each.role})" if each.role else each.email for each in ACCOUNTS]
    return f"""
  Sign in   {", ".join(accounts)}; the password is {PASSWORD}
            with supabase-js: createClient('{SUPABASE_URL}', 'any-key').auth.signInWithPassword(…)"""


def on_reload(server):  # type: ignore[no-untyped-def]
    """Start the sweep again with the new code."""
    stop_sweep(server)
    when_ready(server)


def child_exit(server, worker):  # type: ignore[no-untyped-def]
    """Forget the gauges of a process that has ended. Its counters stay."""
    if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        for file in glob.glob(f"{glob.escape(folder)}/gauge_live*_{worker.pid}.db"):
            os.remove(file)


def stop_sweep(server):  # type: ignore[no-untyped-def]
    """Let the sweep finish its task, and return the process, None if there is none."""
    if sweep := getattr(server, "sweep", None):
        sweep.terminate()
    return sweep


def on_exit(server):  # type: ignore[no-untyped-def]
    """Wait for the sweep: in a container, all processes are killed when this one ends."""
    if sweep := stop_sweep(server):
        with suppress(subprocess.TimeoutExpired):
            sweep.wait(STORAGE_TIMEOUT + 2)


post_request = clear_request_id
util.write_error = write_error
util.close_graceful = leave_open
gc.enable()
