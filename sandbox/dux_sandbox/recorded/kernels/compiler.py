"""The C compiler of this machine: which it is, and C made into a library by it."""

import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_FLAGS = (
    *("-std=gnu11", "-O3", "-shared", "-fPIC", "-w"),
    # Nothing that changes a value: no contraction that a template does not ask for, no
    # reordering. What is off is errno and traps, which torch's own code has off, too.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    # A loop that copies stays one: of memory that no cache holds memcpy was seen to
    # copy 2 GB a second on an EPYC in a virtual machine, and a loop 30.
    "-fno-tree-loop-distribute-patterns",
)
_SECONDS, _POLL = 120.0, 0.05


class CannotCompile(Exception):
    """The compiler did not make a library of a kernel."""


class NoCompiler(CannotCompile):
    """There is none here; it is said once."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler.

    Attributes:
        command: how it is called, flags included.
        identity: changes with the compiler, its flags and the processor.
    """

    command: tuple[str, ...]
    identity: str

    def compile(self, text: str, folder: Path, stop: threading.Event) -> bytes:
        """The library that it makes of C.

        Args:
            folder: private, and empty: files of the compiler go there.
            stop: when it is set, the compiler is ended.

        Raises:
            CannotCompile: it failed, was ended, or took more than two minutes.
        """
        (folder / "kernel.c").write_text(text)
        library, said = folder / "kernel.so", folder / "said"
        environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(folder / "zig")}
        with said.open("wb") as errors:
            try:
                running = subprocess.Popen(
                    [*self.command, "kernel.c", "-o", "kernel.so"],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    start_new_session=True,
                )
            except OSError as error:
                raise CannotCompile(f"{self.command[0]}: {error}") from None
            code = _ended(running, stop)
        if code != 0 or not library.is_file():
            told = said.read_text(errors="replace")[:500]
            raise CannotCompile(f"{self.command[0]} gave {code}: {told}")
        return library.read_bytes()


def _ended(running: subprocess.Popen[bytes], stop: threading.Event) -> int | None:
    """How it ended; killed with its children where it had to be, or took too long."""
    ends = time.monotonic() + _SECONDS
    try:
        while not stop.is_set() and time.monotonic() < ends:
            try:
                return running.wait(_POLL)
            except subprocess.TimeoutExpired:
                continue
        return None
    finally:
        if running.poll() is None:
            if hasattr(os, "killpg"):
                os.killpg(running.pid, signal.SIGKILL)
            running.kill()
            running.wait()


@lru_cache(maxsize=1)
def compiler() -> Compiler | None:
    """The compiler that $CC names, the system's, or PyPI's; None: there is none.

    A kernel is for the processor of this machine, and for no other.
    """
    for command in _candidates():
        version = _version(command)
        if version is not None:
            flags = (*_FLAGS, *_for_this_processor())
            known = [*command, version, *flags, platform.machine(), _processor()]
            identity = hashlib.sha256("\n".join(known).encode()).hexdigest()
            return Compiler((*command, *flags), identity)
    return None


def _candidates() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    if os.environ.get("CC"):
        found.append(tuple(shlex.split(os.environ["CC"])))
    for name in ("cc", "gcc", "clang"):
        path = shutil.which(name)
        if path is not None:
            found.append((path,))
    if find_spec("ziglang") is not None:
        found.append((sys.executable, "-m", "ziglang", "cc"))
    return found


def _version(command: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run(
            [*command, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _for_this_processor() -> tuple[str, ...]:
    if platform.machine().lower() in ("x86_64", "amd64"):
        return ("-march=native", "-mprefer-vector-width=512")
    return ("-mcpu=native",)


def _processor() -> str:
    """What tells this processor from others that share a folder with it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    kept = [line for line in lines if line.startswith(("flags", "Features", "model"))]
    return "\n".join(sorted(set(kept)))
