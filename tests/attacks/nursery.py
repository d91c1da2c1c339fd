"""Warm processes for the plays, forked from one: each takes seconds to start.

The warm process of dux-agent belongs to one trainer, and every play is a trainer of
its own. This one warms up once, exactly as `dux_sandbox.process.zygote` does, and forks
a process that serves like it for each play. Nothing else differs.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import weakref

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from tests.attacks.nursery import main; main(int(sys.argv[2]))"
)


def main(descriptor: int) -> None:
    """Warm up, then fork one server for every socket that comes in."""
    from dux_sandbox.process import zygote

    requests = socket.socket(fileno=descriptor)
    zygote.warm()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(requests, 16, 1)
        if not data:
            return
        if os.fork() == 0:
            requests.close()
            os.setsid()
            control = socket.socket(fileno=descriptors[0])
            try:
                ready = json.dumps({"ready": True, "pid": os.getpid()})
                control.sendall(ready.encode() + b"\n")
                zygote.serve(control)
            finally:
                os._exit(0)
        os.close(descriptors[0])


def start() -> socket.socket:
    """Start the nursery; it ends when the socket it gives is closed by all."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [
                *(sys.executable, "-I", "-c", _BOOT),
                *(json.dumps([path for path in sys.path if path]),),
                str(theirs.fileno()),
            ],
            pass_fds=[theirs.fileno()],
            env={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    return ours


class Process:
    """As much of `subprocess.Popen` as a Zygote asks of its process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        return self.wait(0.0, late=None)

    def wait(
        self, timeout: float | None = None, late: object = subprocess
    ) -> int | None:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if poll.poll(None if timeout is None else timeout * 1e3):
            return 0
        if late is None:
            return None
        raise subprocess.TimeoutExpired("zygote", timeout or 0.0)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):  # as Popen does
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)


def use(nursery: socket.socket) -> list[Process]:
    """Let this process get its warm processes from the nursery; the list of them."""
    from dux_sandbox.process import spawning

    made: list[Process] = []

    class Borrowed(spawning.Zygote):
        def __init__(self, boot: str = "", *, same_order: bool = False) -> None:
            # Those of the nursery are for rules: no attack of a source asks for others.
            self._lock = threading.Lock()
            self._children = weakref.WeakSet()
            self._control, theirs = socket.socketpair()
            with theirs:
                socket.send_fds(nursery, [b"z"], [theirs.fileno()])
            spawning._open_sockets.add(self._control)
            self._owner = os.getpid()
            self._process = Process(self._line(60.0)["pid"])
            made.append(self._process)
            self._ready = True

    spawning.Zygote = Borrowed
    return made
