"""CUDA C++ made into machine code in this process, by the compiler torch comes with."""

import ctypes
import logging
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from dux_sandbox.recorded.kernels.compiler import CannotCompile

_log = logging.getLogger(__name__)
# Nothing that changes a value: a product and a sum are one only where a template says.
_FLAGS = ("--fmad=false", "--std=c++17")
NO_COMPILER = (
    "NVIDIA's runtime compiler (NVRTC), which comes with torch for CUDA, is not here, "
    "so recorded rules run in plain torch on this device, several times slower"
)


class RuntimeCompiler:
    """NVRTC.

    Attributes:
        version: changes with what it makes.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        """Use the library that was found."""
        self._library = library
        major, minor = ctypes.c_int(), ctypes.c_int()
        library.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def identity(self, architecture: str) -> str:
        """What machine code hangs on beside its text."""
        return " ".join(("nvrtc", self.version, architecture, *_FLAGS))

    def compile(self, text: str, architecture: str) -> bytes:
        """The machine code of a text.

        Args:
            architecture: "sm_90" and the like.

        Raises:
            CannotCompile: it is no CUDA C++, or not for this architecture.
        """
        program = ctypes.c_void_p()
        found = self._library.nvrtcCreateProgram(
            ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None
        )
        if found:
            raise CannotCompile(f"NVRTC gave {found}")
        try:
            flags = [f"--gpu-architecture={architecture}", *_FLAGS]
            given = (ctypes.c_char_p * len(flags))(*(each.encode() for each in flags))
            found = self._library.nvrtcCompileProgram(program, len(flags), given)
            if found:
                said = self._read(program, "ProgramLog").decode(errors="replace")
                raise CannotCompile(f"NVRTC gave {found}: {said[:500]}")
            return self._read(program, "CUBIN")
        finally:
            self._library.nvrtcDestroyProgram(ctypes.byref(program))

    def _read(self, program: ctypes.c_void_p, what: str) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        made = ctypes.create_string_buffer(size.value)
        self._call(f"nvrtcGet{what}", program, made)
        return made.raw

    def _call(self, name: str, *arguments: object) -> None:
        found = getattr(self._library, name)(*arguments)
        if found:
            raise CannotCompile(f"{name} gave {found}")


@lru_cache(maxsize=1)
def runtime_compiler() -> RuntimeCompiler | None:
    """NVRTC as torch has it; None: it is not here."""
    for name in _names(str(torch.version.cuda), sys.path):
        try:
            # NVRTC opens these by their name alone, wherever it lies itself.
            for each in sorted(Path(name).parent.glob("libnvrtc-builtins.so.*")):
                ctypes.CDLL(str(each))
            return RuntimeCompiler(ctypes.CDLL(name))
        except (OSError, AttributeError) as error:
            _log.debug("no NVRTC in %s: %s", name, error)
    return None


def _names(version: str, folders: Sequence[str]) -> Iterator[str]:
    """Where NVRTC may be: in a wheel beside torch, or where the loader finds it."""
    major = version.split(".")[0]
    wanted = f"libnvrtc.so.{major}"
    for folder in folders:
        for inside in (f"cu{major}", "cuda_nvrtc"):
            path = Path(folder) / "nvidia" / inside / "lib" / wanted
            if path.is_file():
                yield str(path)
    yield wanted
