"""Measure `migrate_to_supabase` beside `rclone copy` and `rclone check --download`, on any Storage server.

Run: `python bench/rclone.py [rounds]`, with SUPABASE_URL and SUPABASE_SECRET_KEY, and for rclone the S3 keys
of the same server in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (AWS_REGION, if it has one). Both send the
same files with the same number of transfers, in turns, to a bucket that is deleted afterwards. Each time is
that of the whole process. Compare numbers of one run only: the speed of a machine varies.

`report.pdf` stands for names that another writer may use too, `<random>/report.pdf` for keys of an
UploadField, which need fewer calls.
"""

import os
import resource
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)  # not this folder: it has a module `requests`

import httpx

from bench.migration import MANAGE, Bench
from storage import keys

TRANSFERS = 8
SETS = ((10_000, 400), (1_000_000, 60), (20_000_000, 6))  # bytes of a file, files
PDF = "application/pdf"

Measured = tuple[float, float]  # seconds, and seconds of processor time


class Comparison:
    """`keys`: whether there are S3 keys and rclone, so that it can be measured too."""

    def __init__(self, folder: Path) -> None:
        self.bench, self.bucket = Bench(folder), f"bench-{secrets.token_hex(6)}"
        self.url, self.key = os.environ["SUPABASE_URL"], os.environ["SUPABASE_SECRET_KEY"]
        self.bench.site |= {
            "SUPABASE_URL": self.url,
            "SUPABASE_SECRET_KEY": self.key,
            "MIGRATE_BUCKETS": f"api.Document.file={self.bucket}",
        }
        remote = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENV_AUTH": "true",
            "ENDPOINT": f"{self.url}/storage/v1/s3",
            "REGION": os.environ.get("AWS_REGION", ""),
            "FORCE_PATH_STYLE": "true",
        }
        self.rclone_environment = {
            **{name: value for name, value in os.environ.items() if name != "AWS_CA_BUNDLE"},  # rclone fails
            **{f"RCLONE_CONFIG_TARGET_{name}": value for name, value in remote.items()},
            "RCLONE_CONFIG": os.devnull,
        }
        self.has_rclone = bool(shutil.which("rclone") and os.environ.get("AWS_ACCESS_KEY_ID"))
        self.client = httpx.Client(
            base_url=f"{self.url}/storage/v1/",
            headers={"apikey": self.key, "Authorization": f"Bearer {self.key}"},
            timeout=60,
        )

    @contextmanager
    def with_bucket(self) -> Iterator[None]:
        bucket = {"id": self.bucket, "name": self.bucket}
        self.client.post("bucket", json=bucket).raise_for_status()
        try:
            yield
        finally:
            self.client.post(f"bucket/{self.bucket}/empty").raise_for_status()
            self.client.delete(f"bucket/{self.bucket}").raise_for_status()

    def write_files(self, folder: str, size: int, count: int, *, is_random: bool = False) -> None:
        names = [f"{folder}/{number}/report.pdf" for number in range(count)]
        if is_random:
            names = [keys.generate(folder, PDF, filename="report.pdf") for _ in range(count)]
        for name in names:
            self.bench.file(name, secrets.token_bytes(size))
        self.bench.documents(names)

    def migrate(self, **environment: str) -> Measured:
        """Run the command with a new journal."""
        journal = self.bench.folder / f"{secrets.token_hex(6)}.journal"
        options = ["--model", "api.Document", "--jobs", str(TRANSFERS), "--journal", str(journal)]
        return measured([*MANAGE, "migrate_to_supabase", *options], {**self.bench.site, **environment})

    def copy_and_check(self, folder: str) -> Measured:
        """Run `rclone copy`, then `rclone check --download`."""
        runs = [measured(each, self.rclone_environment) for each in self._rclone(folder)]
        return sum(seconds for seconds, _ in runs), sum(processor for _, processor in runs)

    def _rclone(self, folder: str) -> list[list[str]]:
        paths = [str(self.bench.path(folder)), f"target:{self.bucket}/rclone/{folder}"]
        limits = ["--transfers", str(TRANSFERS), "--checkers", str(TRANSFERS)]
        return [["rclone", *verb, *paths, *limits] for verb in (["copy"], ["check", "--download"])]


def measured(command: list[str], environment: dict[str, str]) -> Measured:
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, processor


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        comparison = Comparison(Path(folder))
        with comparison.with_bucket():
            if not comparison.has_rclone:
                print("rclone is left out: it is not installed, or there are no S3 keys")
            idle = [median(each) for each in zip(*(comparison.migrate() for _ in range(rounds)), strict=True)]
            print(f"without files: {idle[0]:.2f} s, {idle[1]:.2f} s of processor time")
            for is_random, name in ((False, "report.pdf"), (True, "<random>/report.pdf")):
                print(name)
                for size, count in SETS:
                    compare(comparison, rounds, size, count, idle[1], is_random=is_random)


def compare(
    comparison: Comparison, rounds: int, size: int, count: int, idle: float, *, is_random: bool
) -> None:
    """Print medians. `idle`: seconds of processor time that are not counted, for the start of the process."""
    ours, theirs = [], []
    for number in range(rounds):
        folder = f"{is_random}/{size}/{number}"
        comparison.write_files(folder, size, count, is_random=is_random)
        for is_ours in (number % 2 == 0, number % 2 == 1):
            if is_ours:
                ours.append(comparison.migrate())
            elif comparison.has_rclone:
                theirs.append(comparison.copy_and_check(folder))
    seconds, processor = (median(each) for each in zip(*ours, strict=True))
    line = f"  {count} files of {size / 1e6:g} MB: {seconds:.2f} s"
    if theirs:
        ratio = median(mine / other for (mine, _), (other, _) in zip(ours, theirs, strict=True))
        line += f", rclone {median(each for each, _ in theirs):.2f} s, ratio {ratio:.2f} (goal: 1.0)"
    print(f"{line}, {(processor - idle) / count * 1000:.1f} ms of processor time a file")


if __name__ == "__main__":
    main()
