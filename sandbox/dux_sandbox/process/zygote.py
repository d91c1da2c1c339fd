"""The warm process: torch is loaded once, and every rule gets a fresh fork of it.

Programs fork from a second one, which has loaded more and is the same otherwise.

It is started by the trainer with an empty environment, holds no user data, never
runs generated code itself, and ends when the trainer's end of its socket closes.
Run as `python -I -c "..." PATHS SOCKET` by `dux_sandbox.process.spawning`.
"""

import gc
import json
import os
import select
import signal
import socket
import sys
from functools import cache
from typing import Any

_MESSAGE_BYTES = 1 << 16
_TELLS_OF_DEATHS = hasattr(os, "pidfd_open")


def warm(programs: bool = False) -> None:
    """Load and exercise what a rule may use, so that no child has to.

    Args:
        programs: children run programs, which may use more.
    """
    import types

    # torch.optim's own classes import torch._dynamo at their first use, only to
    # ask it not to compile them: two seconds and 200 MB that no rule needs.
    stand_in = types.ModuleType("torch._dynamo")
    stand_in.graph_break = lambda *_, **__: None  # type: ignore[attr-defined]
    stand_in.disable = lambda fn=None, *_, **__: fn  # type: ignore[attr-defined]

    import torch

    sys.modules["torch._dynamo"] = stand_in
    torch._dynamo = stand_in
    # One thread here, always: a process with an OpenMP team must not be forked.
    torch.set_num_threads(1)
    from dux_sandbox.process import record_worker, worker

    worker.rehearse()
    record_worker.rehearse()
    # `ast.unparse` writes a text with it, and Python looks it up at its first use.
    "".encode("unicode_escape")
    if programs:
        from dux_sandbox.process import fit_worker

        fit_worker.rehearse()
    try:
        import pyseccomp  # noqa: F401  (14 ms that each child would pay)
    except (ImportError, RuntimeError, OSError):
        pass


def serve(control: socket.socket) -> None:
    """Fork children on request until the trainer is gone.

    A request is one JSON object with the descriptors of the child's socket and,
    for a rule, its mirror's memory; the answer holds the child's process id.
    """
    children: dict[int, int] = {}  # what becomes readable at its end: process id
    poll = select.poll()
    poll.register(control, select.POLLIN)
    while True:
        # Told of deaths by descriptor: a child is stopped and woken at every step, and
        # a signal for each would wake this process too.
        ready = {at for at, _ in poll.poll(None if _TELLS_OF_DEATHS else 1000)}
        for descriptor in ready & children.keys():
            poll.unregister(descriptor)
            os.close(descriptor)
            os.waitpid(children.pop(descriptor), 0)
        if not _TELLS_OF_DEATHS:
            _reap(children)
        if control.fileno() not in ready:
            continue
        data, descriptors, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 4)
        if not data:
            break
        request = {**json.loads(data), "parent": os.getpid()}
        if request["purpose"] == "laws":
            _rehearse_laws()
        pid = os.fork()
        if pid == 0:
            _become_child(request, descriptors)
        if _TELLS_OF_DEATHS:
            handle = os.pidfd_open(pid)
            children[handle] = pid
            poll.register(handle, select.POLLIN)
        else:
            children[-pid] = pid
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(json.dumps({"pid": pid}).encode() + b"\n")
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
    for pid in children.values():
        os.waitpid(pid, 0)


@cache
def _rehearse_laws() -> None:
    """Do once, at the first such request, what each child would take 90 ms for."""
    from dux_sandbox.process import law_worker

    law_worker.rehearse()
    _share_all()


def _share_all() -> None:
    """What is there now stays shared: a collection in a child would copy it all."""
    gc.collect()
    gc.freeze()


def _reap(children: dict[int, int]) -> None:
    """Where no descriptor tells of a death: ask after each child."""
    for handle, pid in list(children.items()):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del children[handle]


def _become_child(request: dict[str, Any], descriptors: list[int]) -> None:
    """The first moments of a fork: keep two descriptors, then serve one rule."""
    status = 1
    try:
        # Descriptors are moved to 3 and up, and nothing else survives.
        kept = []
        for position, descriptor in enumerate(descriptors):
            target = 100 + position
            os.dup2(descriptor, target, inheritable=False)
            kept.append(target)
        os.closerange(3, 100)
        os.closerange(100 + len(kept), 4096)
        os.chdir("/")
        from dux_sandbox.process import worker

        worker.serve(request, kept)
        status = 0
    except BaseException:  # a fork must never return into the zygote's loop
        status = 1
    finally:
        os._exit(status)


def main(control_descriptor: int, programs: bool = False) -> None:
    """Warm up, say so, and serve; `programs` as of `warm`."""
    control = socket.socket(fileno=control_descriptor)
    control.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the trainer's to handle
    try:
        warm(programs)
    except ImportError as error:
        control.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    _share_all()
    control.sendall(b'{"ready": true}\n')
    serve(control)
