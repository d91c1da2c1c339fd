"""Workers in a cluster of Ray's, or in one of this machine that Ray makes."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from dux_agent.engines.processes import START_SECONDS, Process
from dux_agent.engines.workers import Answer, Job, Say, WorkerDied, Workers, silent
from dux_agent.errors import DuxError, MissingExtra

try:
    import ray
    from ray.exceptions import RayError
except ImportError:
    raise MissingExtra.of("ray", extra="ray", purpose="--engine ray") from None

_STORE = 128 << 20  # bytes that Ray keeps objects in; jobs and answers are small
_ANSWERS = 30.0  # seconds until a head answers; Ray itself waits for many minutes
_GRACE = 60.0  # seconds beyond a job's own, until its machine counts as gone


@contextmanager
def connected(address: str | None, workers: int | None = None) -> Iterator[int]:
    """Be connected with a cluster; how many cores it has now.

    Args:
        address: of its head, as `ray.init` takes it; None: a cluster of this machine is
            made, and ended afterwards.
        workers: that will be wanted, of a cluster that is made.

    Raises:
        DuxError: there is no cluster at that address, or none can be made here.
    """
    # What Ray tells its makers unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        here = os.cpu_count() or 1
        made = {"num_cpus": max(workers or 0, here), "object_store_memory": _STORE}
        quiet |= {**made, "include_dashboard": False}
    try:
        _look_at(address)
        ray.init(address=address or "local", **quiet)
    # Ray has no family of errors for this.
    except (RayError, OSError, RuntimeError, ValueError) as error:
        raise DuxError(
            f"Ray cannot be had at {address or 'this machine'}: {error}; a cluster was "
            f"wanted that runs Ray {ray.__version__}; look with ray status, or leave "
            f"--address out for this machine."
        ) from None
    try:
        resources: Any = ray.cluster_resources  # it has no hints
        yield int(resources().get("CPU", 1))
    finally:
        ray.shutdown()


def _look_at(address: str | None) -> None:
    """Raise OSError where nobody answers at HOST:PORT."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=_ANSWERS).close()


def ray_workers(
    count: int, *, most_bytes: int | None = None, say: Say = silent
) -> Workers:
    """So many workers in the cluster that is connected, a core each.

    One that finds no core waits for it, and those that have one do the jobs.

    Args:
        most_bytes: of memory that each takes beyond what it begins with; None: any.
        say: is told of each that died, with its machine or without.
    """
    return Workers(partial(_InCluster, most_bytes), count, say=say)


class _Held:
    """In the cluster: holds a process of that machine, which ends with it."""

    def __init__(self, most_bytes: int | None) -> None:
        self._process = Process(most_bytes)

    def ready(self) -> bool:
        return self._process.ready(START_SECONDS)

    def answer(self, job: Job, seconds: float) -> list[Answer]:
        answer = self._process.answer(job, seconds)
        return [] if answer is None else [answer]


class _InCluster:
    """A worker that is an actor of Ray's."""

    def __init__(self, most_bytes: int | None) -> None:
        made: Any = ray.remote(num_cpus=1, max_restarts=0)(_Held)
        self._actor = made.remote(most_bytes)
        self._begun = self._actor.ready.remote()

    def ready(self, seconds: float) -> bool:
        begun = _got(self._begun, seconds)
        if begun is False:
            raise WorkerDied  # it takes longer than any process needs
        return begun is not None

    def answer(self, job: Job, seconds: float) -> Answer | None:
        asked = self._actor.answer.remote(dict(job), seconds)
        found: list[Answer] | None = _got(asked, seconds + _GRACE)
        return found[0] if found else None

    def end(self) -> None:
        ray.kill(self._actor)


def _got(asked: Any, seconds: float) -> Any:
    """What an actor gave; None where it is late. Raises WorkerDied."""
    try:
        done, _ = ray.wait([asked], timeout=seconds)
        return ray.get(asked) if done else None
    except RayError:
        raise WorkerDied from None
