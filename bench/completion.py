"""Measure the call that completes a ticket, by its parts, for a PDF and a JPEG of 5 MB.

Run: `python -m bench.completion`. It needs PostgreSQL on 127.0.0.1:5432, where root may create databases, and
Redis on 127.0.0.1:6379. Storage is a second copy of Vivarium with its local store, or SUPABASE_URL with
SUPABASE_SECRET_KEY and SUPABASE_JWT_SECRET, whose buckets `setup_supabase` has made. Beside it the same is
measured with the files on this disk. `--delay 20` measures it once more, with so many milliseconds added to
each HTTP request of the store. Each figure is the middle of several turns, in which all alternate: compare
figures of one run only.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from PIL import Image

from bench import requests
from bench.requests import ROOT

MB = 1_000_000
TURNS = 7
KINDS = ("PDF document", "JPEG document", "avatar", "gallery picture")
REDIS = "redis://127.0.0.1:6379"
Found = dict[str, dict[str, list[dict[str, Any]]]]  # by side and kind


def write_files(folder: Path) -> None:
    """Write a PDF and a photograph of 12 megapixels, of 5 MB each."""
    (folder / "five.pdf").write_bytes(b"%PDF-1.7\n" + os.urandom(5 * MB - 9))
    smooth = [Image.effect_noise((1000, 750), 60).resize((4000, 3000)) for _ in "RGB"]
    grain = [Image.effect_noise((4000, 3000), 20) for _ in "RGB"]
    bands = [Image.blend(*pair, 0.3) for pair in zip(smooth, grain, strict=True)]
    photograph, path = Image.merge("RGB", bands), folder / "five.jpg"
    for quality in range(60, 100):
        photograph.save(path, quality=quality)
        if path.stat().st_size >= 5 * MB:
            return


class Side:
    """`bench/completion_in_process.py` with a store."""

    def __init__(self, folder: Path, settings: dict[str, str], delay: float) -> None:
        command = [sys.executable, "-m", "bench.completion_in_process", str(folder), str(delay)]
        self.running = subprocess.Popen(
            command,
            cwd=ROOT,
            env=settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # its log
            text=True,
        )

    def measure(self, kind: str) -> dict[str, Any]:
        assert self.running.stdin and self.running.stdout  # noqa: PT018  (they are pipes)
        self.running.stdin.write(f"{kind}\n")
        self.running.stdin.flush()
        line = self.running.stdout.readline()
        if not line:
            sys.exit(f"{self.running.args!r} ended")
        found: dict[str, Any] = json.loads(line)
        return found

    def __enter__(self) -> "Side":
        return self

    def __exit__(self, *error: Any) -> None:
        self.running.terminate()
        self.running.communicate()


def measure(sides: dict[str, Side], turns: int) -> tuple[Found, dict[str, Any]]:
    """Return what was measured, and the first picture of a process by side: it starts the fork server."""
    found: Found = {name: {kind: [] for kind in KINDS} for name in sides}
    first: dict[str, Any] = {}
    for turn in range(turns + 1):
        for kind in KINDS:
            for name, side in sides.items():
                measured = side.measure(kind)
                if turn:  # the first one warms up
                    found[name][kind].append(measured)
                elif kind == "JPEG document":
                    first[name] = measured
    return found, first


# --- Printing -----------------------------------------------------------------------------------------


def show(found: Found, first: dict[str, Any]) -> None:
    for name, kinds in found.items():
        parts = list(dict.fromkeys(part for turns in kinds.values() for part in turns[0]["parts"]))
        print(f"\n{name}: milliseconds of the call that completes a ticket")
        row("", KINDS)
        for part in parts:
            row(part, [milliseconds(turn["parts"].get(part) for turn in kinds[kind]) for kind in KINDS])
        row("the rest", [milliseconds(map(rest, kinds[kind])) for kind in KINDS])
        for title, key in (("total", "total"), ("processor", "processor"), ("  of children", "children")):
            row(title, [milliseconds(turn[key] for turn in kinds[kind]) for kind in KINDS])
        row("queries", [str(median(turn["queries"] for turn in kinds[kind])) for kind in KINDS])
        row("calls of the store", [str(sum(kinds[kind][-1]["calls"].values())) for kind in KINDS])
        row("HTTP requests", [str(len(kinds[kind][-1]["requests"]["complete"])) for kind in KINDS])
        extra = first[name]["parts"]["check picture"] - median(
            turn["parts"]["check picture"] for turn in kinds["JPEG document"]
        )
        print(f"The first picture of a process, which starts the fork server: {extra:+.0f} ms.")
    for name, kinds in found.items():
        if any(kinds[KINDS[0]][-1]["requests"].values()):
            print(f"\n{name}: HTTP requests by operation")
            for kind, turns in kinds.items():
                for operation, requests_sent in turns[-1]["requests"].items():
                    print(f"{kind}, {operation}: {summary(requests_sent)}")
            return


def row(title: str, cells: Any) -> None:
    print(f"{title:20}" + "".join(f"{cell:>17}" for cell in cells))


def milliseconds(values: Any) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.1f}" if known else "-"


def rest(turn: dict[str, Any]) -> float:
    remainder: float = turn["total"] - sum(turn["parts"].values())
    return remainder


def summary(requests_sent: list[str]) -> str:
    """Return `2 GET object, 1 POST object/move`."""
    counted = Counter(requests_sent)
    return f"{len(requests_sent)} ({', '.join(f'{count} {name}' for name, count in counted.items())})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0, help="milliseconds before each HTTP request")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"({TURNS})")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        write_files(folder)
        with ExitStack() as stack:
            store = stack.enter_context(requests.storage(folder))
            delays = {"Supabase": 0.0}
            if options.delay:
                delays[f"Supabase, {options.delay:g} ms"] = options.delay
            sides = {"local store": stack.enter_context(side(stack, folder, "local", 0))}
            for number, (name, delay) in enumerate(delays.items()):
                sides[name] = stack.enter_context(side(stack, folder, f"supabase{number}", delay, store))
            show(*measure(sides, options.turns))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def side(stack: ExitStack, folder: Path, name: str, delay: float, store: str = "") -> Side:
    """Return a process with a database of its own. `store`: the address of Storage, "" for this disk."""
    media = folder / name
    media.mkdir()
    settings = requests.environment(
        media,
        DATABASE_URL=stack.enter_context(requests.database(f"completion_{name}")),
        CACHE_URL=f"{REDIS}/9",
        **({"STORAGE": "supabase", "SUPABASE_URL": store, "SUPABASE_JWKS_URL": ""} if store else {}),
    )
    requests.manage(settings, "manage.py", "migrate", "-v0")
    return Side(folder, settings, delay)


if __name__ == "__main__":
    main()
