"""The process that looks at sources for a search: one job after the other, as JSON.

It never runs a source itself where that is isolated; it ends with its driver.
"""

import json
import os
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from dux_agent.evolving.training import examine, train
from dux_agent.tuning.evaluating import address_space, said

_JOBS: dict[str, Callable[..., dict[str, Any]]] = {"examine": examine, "train": train}


def main(descriptor: int, most_bytes: int | None) -> None:
    """Answer jobs until the driver is gone.

    Args:
        descriptor: of the socket to the driver.
        most_bytes: of memory beyond what this process begins with; None: any.
    """
    if most_bytes is not None:
        most = address_space() + most_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    torch.set_num_threads(1)
    driver = Connection(descriptor)
    driver.send_bytes(json.dumps({"pid": os.getpid()}).encode())
    while True:
        try:
            job = json.loads(driver.recv_bytes())
        except (EOFError, OSError):
            return
        driver.send_bytes(json.dumps(_answer(job)).encode())


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        return _JOBS[job.pop("do")](**job)
    # Whatever a source, or a task of anybody's, raises costs this job alone.
    except Exception as error:
        return {"stage": "worker", "why": said(error)}
