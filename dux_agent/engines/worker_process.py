"""The process that does jobs: one after the other, as JSON; it ends with its driver."""

import json
import os
import resource
import select
import signal
import threading
from collections.abc import Callable
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

import torch

from dux_agent.tuning.evaluating import address_space, said
from dux_sandbox.process.keeping import keep_warm


def main(descriptor: int, most_bytes: int | None) -> None:
    """Answer jobs until the driver is gone.

    Args:
        descriptor: of the socket to the driver.
        most_bytes: of memory beyond what this process begins with; None: any.
    """
    threading.Thread(target=_end_with, args=(descriptor,), daemon=True).start()
    if most_bytes is not None:
        most = address_space() + most_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    torch.set_num_threads(1)
    driver = Connection(descriptor)
    keep_warm(driver)
    driver.send_bytes(json.dumps({"pid": os.getpid()}).encode())
    while True:
        try:
            job = json.loads(driver.recv_bytes())
        except (EOFError, OSError):
            return
        driver.send_bytes(json.dumps(_answer(job)).encode())


def _end_with(descriptor: int) -> None:
    """End this process, in the midst of a job too, when its driver hangs up."""
    hung_up = select.poll()
    hung_up.register(descriptor, 0)
    hung_up.poll()
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    try:
        module, _, name = job.pop("do").partition(":")
        do: Callable[..., dict[str, Any]] = getattr(import_module(module), name)
        return do(**job)
    # Whatever a source, or a task of anybody's, raises costs this job alone.
    except Exception as error:
        return {"stage": "worker", "why": said(error)}
