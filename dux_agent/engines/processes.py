"""Workers that are processes of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection

from dux_agent.engines.workers import Answer, Job, Say, WorkerDied, Workers, silent

START_SECONDS = 120.0
"""Until a process counts as one that does not start."""

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dux_agent.engines.worker_process import main; "
    "main(int(sys.argv[2]), json.loads(sys.argv[3]))"
)


def processes(
    count: int, *, most_bytes: int | None = None, say: Say = silent
) -> Workers:
    """So many processes; each is started when there is something to do.

    Args:
        most_bytes: of memory that each takes beyond what it begins with; None: any.
        say: is told of each that died.
    """
    start = partial(Process, most_bytes)
    return Workers(start, count, start_seconds=START_SECONDS, say=say)


class Process:
    """One process, which waits for jobs; with a process group of its own.

    Attributes:
        pid: its number.
    """

    def __init__(self, most_bytes: int | None) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [json.dumps(sys.path), str(theirs.fileno())]
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, *arguments, json.dumps(most_bytes)],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self._link = Connection(ours.detach())  # closed with the last who reads it
        self._ending = threading.Lock()
        self.pid = self._process.pid

    def ready(self, seconds: float) -> bool:
        return self._heard(seconds) is not None

    def answer(self, job: Job, seconds: float) -> Answer | None:
        try:
            self._link.send_bytes(json.dumps(job).encode())
        except OSError:
            raise WorkerDied from None
        return self._heard(seconds)

    def _heard(self, seconds: float) -> Answer | None:
        try:
            if not self._link.poll(seconds):
                return None
            heard: Answer = json.loads(self._link.recv_bytes())
        except (EOFError, OSError):
            raise WorkerDied from None
        return heard

    def end(self) -> None:
        with self._ending:
            if self._process.returncode is not None:
                return  # its number may be another's by now
            with suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
