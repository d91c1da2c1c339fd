"""The trainer's way to the warm process, which forks a child for each rule."""

import atexit
import json
import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any

from dux_sandbox.findings import CannotRunSo, Finding, RuleFailed
from dux_sandbox.process.channel import Channel, ChannelBroken, new_nonce
from dux_sandbox.process.child import Child
from dux_sandbox.process.child import open_sockets as _open_sockets
from dux_sandbox.process.jail import Layer

_START_SECONDS = 120.0  # importing torch from a cold disk took 13 s here
_FORK_SECONDS = 30.0
# Nothing of the trainer's. A rule's threads must not spin while they wait: the trainer
# needs the cores for its next forward pass. And glibc must not give the memory of each
# temporary back to fetch it anew for the next: a plain AdamW over tensors of a million
# weights took 85 ms a step for that reason, and takes 37 ms.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    # A fork cannot use a device that its parent has begun to use, and dies of it.
    "CUDA_VISIBLE_DEVICES": "",
}
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dux_sandbox.process.zygote import main; main(int(sys.argv[2]))"
)
# What a warm process is told to run, by what its children run.
_BOOTS = {"rules": _BOOT, "programs": f"{_BOOT[:-1]}, programs=True)"}


class IsolationUnavailable(CannotRunSo, RuntimeError):
    """This system cannot run a rule in a process of its own; says what to do."""


class WarmProcessLost(IsolationUnavailable):
    """It has died or hangs; the next is another one."""


@dataclass
class Begun:
    """A fork that was asked for.

    Attributes:
        channel: to the child.
        pid: its process id; None: the warm process has not told it yet.
    """

    channel: Channel
    pid: int | None = None


class Zygote:
    """The warm process. One is enough for a trainer; see `zygote`."""

    _begun: Begun | None = None  # whose answer is still to be read

    def __init__(self, boot: str = _BOOT, *, same_order: bool = False) -> None:
        """Start the process; `fork` waits until it is warm.

        Args:
            boot: what the interpreter is told to run, with the module path and the
                number of a socket as its arguments.
            same_order: sets of texts have the same order in each such process, as a
                replay of a program needs.

        Raises:
            IsolationUnavailable: on a system without fork and socket passing.
        """
        if not hasattr(os, "fork") or not hasattr(socket, "send_fds"):
            raise IsolationUnavailable(
                "isolated execution needs fork and descriptor passing, which this "
                "system has not; pass execution='inline'."
            )
        self._lock = threading.Lock()
        self._children: weakref.WeakSet[Child] = weakref.WeakSet()
        ours, theirs = (_above_standard(each) for each in socket.socketpair())
        with theirs:
            paths = json.dumps([path for path in sys.path if path])
            # -I without its deafness to the environment, which is ours alone.
            apart = ["-s", "-P"] if same_order else ["-I"]
            self._process = subprocess.Popen(
                [sys.executable, *apart, "-c", boot, paths, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**_ENVIRONMENT, "PYTHONHASHSEED": "0"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        self._control = ours
        _open_sockets.add(ours)
        self._ready = False
        self._owner = os.getpid()

    @property
    def usable(self) -> bool:
        """Whether this process made it, and it still lives."""
        return self._owner == os.getpid() and self._process.poll() is None

    def fork(self, request: dict[str, Any], descriptors: tuple[int, ...] = ()) -> Child:
        """A fresh child that serves one rule.

        Raises:
            WarmProcessLost: it has died or does not answer; it is closed.
            IsolationUnavailable: it cannot start.
        """
        return self.child(self.begin(request, descriptors))

    def begin(self, request: dict[str, Any], descriptors: tuple[int, ...]) -> Begun:
        """Ask for a child and do not wait for it; raises as `fork`."""
        nonce = new_nonce()
        request = {**request, "nonce": nonce.hex()}
        with self._lock:
            self._wait_until_ready()
            ours, theirs = socket.socketpair()
            with theirs:
                _open_sockets.add(ours)
                try:
                    self._hear()  # or two requests could arrive as one
                    self._control.settimeout(_FORK_SECONDS)
                    data = json.dumps(request).encode()
                    given = [theirs.fileno(), *descriptors]
                    socket.send_fds(self._control, [data], given)
                except OSError as error:
                    ours.close()
                    raise self._lost(error) from None
            self._begun = begun = Begun(Channel(ours, nonce))
        return begun

    def child(self, begun: Begun) -> Child:
        """The child that was asked for, when it is forked; raises as `fork`."""
        with self._lock:
            try:
                if begun is self._begun:
                    self._hear()
                if begun.pid is None:
                    raise ConnectionError("it did not answer")
            except OSError as error:
                begun.channel.close()
                raise self._lost(error) from None
        child = Child(begun.pid, begun.channel)
        self._children.add(child)
        return child

    def _hear(self) -> None:
        """Read the answer that is still to be read, if one is."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.pid = int(self._line(_FORK_SECONDS)["pid"])

    def _lost(self, error: OSError) -> WarmProcessLost:
        # An answer that came late would be taken for the next one's.
        self.close()
        return WarmProcessLost(
            f"the warm process for rules has died or hangs ({error}); it is started "
            f"anew at the next try."
        )

    def layers(self) -> list[Layer]:
        """Which layers of the jail hold, tried in a child."""
        child = self.fork({"purpose": "layers"})
        try:
            message, _ = child.channel.receive(_FORK_SECONDS)
            return [Layer(*row) for row in message["layers"]]
        except ChannelBroken as error:
            raise RuleFailed(Finding("jail", None, str(error))) from None
        finally:
            child.kill()

    def close(self) -> None:
        """End the warm process and with it every child."""
        if self._owner != os.getpid():
            return
        try:
            self._control.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it is gone already
        self._control.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def end_if_idle(self) -> bool:
        """End the warm process at once, unless somebody uses it; whether it has."""
        if self._owner != os.getpid() or not self._lock.acquire(blocking=False):
            return False
        try:
            if self._begun is not None or any(each.lives for each in self._children):
                return False
            self.kill()
            self.close()
        finally:
            self._lock.release()
        return True

    def kill(self) -> None:
        """End the warm process alone, as a crash would."""
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            answer = self._line(_START_SECONDS)
        except OSError as error:
            if self._control.fileno() < 0:  # it was idle, and ended meanwhile
                raise self._lost(error) from None
            raise IsolationUnavailable(
                "the warm process for rules did not start; run `dux doctor`, or pass "
                "execution='inline'."
            ) from None
        if "error" in answer:
            raise IsolationUnavailable(
                f"the warm process for rules did not start: {answer['error']}"
            )
        self._ready = True

    def _line(self, seconds: float) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        data = b""
        while not data.endswith(b"\n"):
            self._control.settimeout(max(0.001, deadline - time.monotonic()))
            piece = self._control.recv(4096)
            if not piece:
                raise ConnectionError("the warm process is gone")
            data += piece
        answer: dict[str, Any] = json.loads(data)
        return answer


def _above_standard(made: socket.socket) -> socket.socket:
    """The socket, with a number that is no standard stream's.

    A trainer may have closed those; what is started gets others in their place.
    """
    if made.fileno() > 2:
        return made
    import fcntl  # no Windows has it

    with made:
        moved = fcntl.fcntl(made.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    return socket.socket(fileno=moved)


zygotes: dict[str, Zygote] = {}
making = threading.Lock()


def forked(
    request: dict[str, Any], descriptors: tuple[int, ...] = (), of: str = "rules"
) -> Child:
    """A fork of a warm process, as of `zygote`, or of a new one where that is lost.

    Raises:
        IsolationUnavailable: a new one is lost at once, or cannot start.
    """
    try:
        return zygote(of).fork(request, descriptors)
    except WarmProcessLost:
        return zygote(of).fork(request, descriptors)


def zygote(of: str = "rules") -> Zygote:
    """The warm process of this trainer: started at first use, anew when it died.

    Args:
        of: "rules", or "programs": what its children run, and what it has loaded.
    """
    with making:
        held = zygotes.get(of)
        if held is None or not held.usable:
            if held is not None:
                held.close()
            held = zygotes[of] = Zygote(_BOOTS[of], same_order=of == "programs")
            atexit.register(held.close)
        return held
