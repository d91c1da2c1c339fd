"""From a verified program to its kernels, beside the training and once for each."""

import hashlib
import logging
import tempfile
import threading
from functools import lru_cache
from pathlib import Path

import torch

from dux_sandbox.recorded.kernels.cache import Cache, private_folder
from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.compiler import (
    CannotCompile,
    NoCompiler,
    compiler,
)
from dux_sandbox.recorded.kernels.cuda.loading import loaded
from dux_sandbox.recorded.kernels.kernel import Kernel
from dux_sandbox.recorded.kernels.library import Library
from dux_sandbox.recorded.kernels.planning import plan_of
from dux_sandbox.recorded.kernels.proving import mismatch
from dux_sandbox.recorded.kernels.running import FusedProgram
from dux_sandbox.recorded.kernels.sizes import require_small
from dux_sandbox.recorded.kernels.source import source_of
from dux_sandbox.recorded.kernels.targets import CPU, target_of
from dux_sandbox.recorded.program import Program

_log = logging.getLogger(__name__)
NO_COMPILER = (
    "no C compiler is here, so recorded rules run in plain torch, several times "
    "slower; install one, or: pip install 'dux-agent[kernels]'"
)


class Unproven(Exception):
    """A kernel does not compute what the reference computes."""


def fuse(
    program: Program,
    stop: threading.Event | None = None,
    device: torch.device = CPU.device,
) -> FusedProgram:
    """Compile a program that was verified, now.

    Args:
        stop: when it is set, the compiler is ended.
        device: where the tensors of its steps are.

    Raises:
        CannotCompile: there is no compiler, it failed, or a kernel is too large.
        Unproven: a kernel is not equal to the reference.
    """
    target = target_of(device)
    if target is None:
        said = f"there are no kernels for {device}: recorded rules run in plain torch"
        raise NoCompiler(said)
    plan = plan_of(program, target)
    stop = stop or threading.Event()
    require_small(plan.chains)
    found = {each: kernel_of(each, stop, device) for each in plan.chains}
    return FusedProgram(plan, found)


LOADED: dict[tuple[Chain, torch.device], Kernel] = {}
"""The kernels of this process."""
_loading = threading.Lock()


def kernel_of(
    chain: Chain, stop: threading.Event, device: torch.device = CPU.device
) -> Kernel:
    """The proven machine code of a chain: of this process, of the cache, or new.

    Raises:
        CannotCompile, Unproven: as `fuse`.
    """
    with _loading:
        if (chain, device) not in LOADED:
            on_cpu = device.type == "cpu"
            found, key, new = _here(chain, stop) if on_cpu else loaded(chain, device)
            differs = mismatch(found, device)
            if differs is not None:
                raise Unproven(differs)
            if new is not None:
                Cache(private_folder()).put(key, new)
            LOADED[chain, device] = found
        return LOADED[chain, device]


def _here(chain: Chain, stop: threading.Event) -> tuple[Kernel, str, bytes | None]:
    """The kernel of a chain in this process; see `cuda.loading.loaded`."""
    known = compiler()
    if known is None:
        raise NoCompiler(NO_COMPILER)
    source = source_of(chain)
    key = hashlib.sha256((known.identity + source.text).encode()).hexdigest()
    code = Cache(private_folder()).get(key)
    is_new = code is None
    if code is None:
        with tempfile.TemporaryDirectory(prefix="dux-kernel-") as folder:
            code = known.compile(source.text, Path(folder), stop)
    try:
        kernel = Library(chain, code, source.functions)
        return kernel, key, code if is_new else None
    except OSError as error:
        raise CannotCompile(str(error)[:500]) from None


@lru_cache(maxsize=8)
def warn_once(message: str) -> None:
    """Say something once in this process."""
    _log.warning(message)


class Compilation:
    """A program that is being compiled beside the training.

    Attributes:
        reason: why there will be no kernels, or None.
    """

    def __init__(self, program: Program, device: torch.device = CPU.device) -> None:
        """Begin, in a thread of its own that ends when it is done."""
        self.reason: str | None = None
        self._fused: FusedProgram | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._work, args=(program, device), name="dux-kernels", daemon=True
        )
        self._thread.start()

    def _work(self, program: Program, device: torch.device) -> None:
        try:
            self._fused = fuse(program, self._stop, device)
        except CannotCompile as error:
            self.reason = str(error)
            if isinstance(error, NoCompiler):
                with _loading:  # or two threads would say it
                    warn_once(self.reason)
            elif not self._stop.is_set():
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
