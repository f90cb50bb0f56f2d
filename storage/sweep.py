"""The sweep: runs steps that finish what was interrupted, one task at a time, and says what was done.

The step that every project has deletes what interrupted uploads have left in the buckets of STORAGES. Every
step can be repeated after a crash, and any number of sweeps may run at once.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from storage.base import SignedStorage, signed_stores
from storage.contract import LEFTOVER_AGE
from storage.errors import StorageError

LEFTOVERS = "leftovers"  # the action of `leftover_steps`
MAX_FAILURES = 3  # in a row, after which a step ends: the storage does not answer

logger = logging.getLogger("storage.sweep")  # not structlog, which prints to stdout if it is not configured


def is_storage_error(error: Exception) -> bool:
    return isinstance(error, StorageError)


@dataclass(frozen=True, slots=True)
class Options:
    """`limit`: how many items each step handles at most. `dry_run`: change nothing.

    `retry_all`: also do what waits because the storage has failed. `is_outage` returns whether an exception
    says that a service does not work; others are logged. `limits` returns a context in which a task is found,
    or run.
    """

    limit: int = 1000
    dry_run: bool = False
    retry_all: bool = False
    is_outage: Callable[[Exception], bool] = is_storage_error
    limits: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True, slots=True)
class Result:
    """What was done, or in a dry run would be. `action` is that of a task, or the name of a step that failed.

    `error`: why it failed, "" if it was done. `is_outage`: the storage, or another service, does not work.
    `count`: the number of rows or objects.
    """

    action: str
    name: str
    error: str = ""
    is_outage: bool = False
    count: int = 1


@dataclass(frozen=True, slots=True)
class Task:
    """One item of a step. `run` does the work, and returns the action, or None if there was nothing to do.

    `action` is the expected one, for a dry run.
    """

    action: str
    name: str
    run: Callable[[], str | None]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Step:
    """`find` yields the tasks. `bucket`: the bucket of all of them, "" if they have several or none."""

    find: Callable[[Options], Iterable[Task]]
    bucket: str = ""


def run_steps(steps: Iterable[Step], options: Options) -> Iterator[Result]:
    """Run all steps, and yield what was done. A step that fails does not keep the others from running."""
    for step in steps:
        yield from _run_step(step, options)


def leftover_steps() -> Iterator[Step]:
    """Yield a step for each bucket of STORAGES that deletes what interrupted uploads have left there."""
    buckets = {(type(store).delete_leftovers, store.origin, store.bucket): store for store in signed_stores()}
    for store in buckets.values():
        yield _leftover_step(store)


def _leftover_step(store: SignedStorage) -> Step:
    def delete_leftovers(options: Options) -> Iterator[Task]:
        for key in store.delete_leftovers(LEFTOVER_AGE, dry_run=options.dry_run):
            yield Task(LEFTOVERS, f"{store.bucket}/{key}", lambda: LEFTOVERS)  # deleted already

    return Step(delete_leftovers, store.bucket)


def _run_step(step: Step, options: Options) -> Iterator[Result]:
    """Run the tasks of a step until its end, the limit, or MAX_FAILURES of a service in a row."""
    done = failures = 0
    tasks = iter(step.find(options))
    while done < options.limit and failures < MAX_FAILURES:
        try:
            with options.limits():
                task = next(tasks, None)
        except Exception as error:
            yield _failure(step.find.__name__, step.bucket, error, options)
            return
        if task is None:
            return
        result = _run(task, options)
        if result:
            done += 1
            failures = failures + 1 if result.is_outage else 0
            yield result


def _run(task: Task, options: Options) -> Result | None:
    if options.dry_run:
        return Result(task.action, task.name, count=task.count)
    try:
        with options.limits():
            action = task.run()
    except Exception as error:
        return _failure(task.action, task.name, error, options)
    return Result(action, task.name, count=task.count) if action else None


def _failure(action: str, name: str, error: Exception, options: Options) -> Result:
    is_outage = options.is_outage(error)
    if not is_outage:
        logger.error("sweep_failed", exc_info=error)
    return Result(action, name, f"{type(error).__name__}: {error}", is_outage)
