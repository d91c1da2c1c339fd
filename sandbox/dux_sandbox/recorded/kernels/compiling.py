"""From a verified program to its kernels, beside the training and once for each."""

import hashlib
import logging
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

from dux_sandbox.recorded.kernels.cache import Cache, private_folder
from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.compiler import CannotCompile, compiler
from dux_sandbox.recorded.kernels.library import Library
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.kernels.proving import mismatch
from dux_sandbox.recorded.kernels.running import FusedProgram
from dux_sandbox.recorded.kernels.source import source_of
from dux_sandbox.recorded.program import Program

_log = logging.getLogger(__name__)
NO_COMPILER = (
    "no C compiler is here, so recorded rules run in plain torch, several times "
    "slower; install one, or: pip install 'dux-agent[kernels]'"
)


class Unproven(Exception):
    """A kernel does not compute what the reference computes."""


def fuse(program: Program, stop: threading.Event | None = None) -> FusedProgram:
    """Compile a program that was verified, now.

    Args:
        stop: when it is set, the compiler is ended.

    Raises:
        CannotCompile: there is no compiler, or it failed.
        Unproven: a kernel is not equal to the reference.
    """
    plan = plan_of(program)
    stop = stop or threading.Event()
    return FusedProgram(plan, {each: library_of(each, stop) for each in plan.chains})


LOADED: dict[Chain, Library] = {}
"""The kernels of this process."""
_loading = threading.Lock()


def library_of(chain: Chain, stop: threading.Event) -> Library:
    """The proven machine code of a chain: of this process, of the cache, or new.

    Raises:
        CannotCompile, Unproven: as `fuse`.
    """
    with _loading:
        if chain not in LOADED:
            LOADED[chain] = _proven(chain, stop)
        return LOADED[chain]


def _proven(chain: Chain, stop: threading.Event) -> Library:
    known = compiler()
    if known is None:
        warn_once()
        raise CannotCompile(NO_COMPILER)
    source = source_of(chain)
    key = hashlib.sha256((known.identity + source.text).encode()).hexdigest()
    cache = Cache(private_folder())
    code = cache.get(key)
    new = code is None
    if code is None:
        with tempfile.TemporaryDirectory(prefix="dux-kernel-") as folder:
            code = known.compile(source.text, Path(folder), stop)
    try:
        library = Library(chain, code, source.functions)
    except OSError as error:
        raise CannotCompile(str(error)[:500]) from None
    found = mismatch(library)
    if found is not None:
        raise Unproven(found)
    if new:
        cache.put(key, code)
    return library


@lru_cache(maxsize=1)
def warn_once() -> None:
    """Say that there is no compiler, once in this process."""
    _log.warning(NO_COMPILER)


class Compilation:
    """A program that is being compiled beside the training.

    Attributes:
        reason: why there will be no kernels, or None.
    """

    def __init__(self, program: Program) -> None:
        """Begin, in a thread of its own that ends when it is done."""
        self.reason: str | None = None
        self._fused: FusedProgram | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(program,), name="dux-kernels", daemon=True
        )
        self._thread.start()

    def _work(self, program: Program) -> None:
        try:
            self._fused = fuse(program, self._stop)
        except CannotCompile as error:
            self.reason = str(error)
            if not self._stop.is_set() and self.reason != NO_COMPILER:
                _log.warning("a recorded rule runs in plain torch: %s", error)
        # Whatever is wrong with kernels, a training goes on without them.
        except Exception as error:
            self.reason = f"{type(error).__name__}: {error}"
            _log.warning("a recorded rule runs in plain torch", exc_info=True)

    def wait(self, seconds: float | None = None) -> FusedProgram | None:
        """The compiled program; waits until it is there, or that it will not be."""
        self._thread.join(seconds)
        return self._fused

    def close(self) -> None:
        """End it: afterwards neither its thread nor a compiler is there."""
        self._stop.set()
        self._thread.join()
