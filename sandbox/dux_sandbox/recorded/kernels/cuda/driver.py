"""Machine code loaded into a CUDA device, and launched, by the driver's C interface."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from dux_sandbox.recorded.kernels.compiler import CannotCompile


class LaunchFailed(RuntimeError):
    """The driver did not do what it was asked for."""


@lru_cache(maxsize=1)
def _driver() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise CannotCompile(f"the driver of CUDA cannot be called: {error}") from None
    pointer, number = ctypes.c_void_p, ctypes.c_uint
    library.cuLaunchKernel.argtypes = [pointer, *[number] * 7, *[pointer] * 3]
    library.cuCtxPushCurrent_v2.argtypes = [pointer]
    library.cuModuleLoadData.argtypes = [pointer, ctypes.c_char_p]
    library.cuModuleGetFunction.argtypes = [pointer, pointer, ctypes.c_char_p]
    return library


def _checked(found: int, what: str) -> None:
    if found:
        raise LaunchFailed(f"{what} gave CUDA's error {found}")


class Device:
    """One CUDA device, with the context that torch uses."""

    def __init__(self, device: torch.device) -> None:
        """Raises CannotCompile where the driver cannot be called."""
        self._library = _driver()
        index = torch.cuda.current_device() if device.index is None else device.index
        self.device = torch.device("cuda", index)
        torch.cuda.init()
        major, minor = torch.cuda.get_device_capability(index)
        self.architecture = f"sm_{major}{minor}"
        handle, self._context = ctypes.c_int(), ctypes.c_void_p()
        _checked(self._library.cuDeviceGet(ctypes.byref(handle), index), "cuDeviceGet")
        _checked(
            self._library.cuDevicePrimaryCtxRetain(ctypes.byref(self._context), handle),
            "cuDevicePrimaryCtxRetain",
        )

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Inside, calls of the driver are for this device, in whatever thread."""
        _checked(self._library.cuCtxPushCurrent_v2(self._context), "cuCtxPushCurrent")
        try:
            yield
        finally:
            self._library.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def load(self, code: bytes, names: tuple[str, ...]) -> dict[str, int]:
        """Load machine code for as long as this process lives.

        Returns:
            The function of each name, for `launch`.

        Raises:
            LaunchFailed: it is none for this device.
        """
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        found: dict[str, int] = {}
        with self._current():
            call = self._library.cuModuleLoadData
            _checked(call(ctypes.byref(module), code), "cuModuleLoadData")
            for name in names:
                call = self._library.cuModuleGetFunction
                given = ctypes.byref(function), module, name.encode()
                _checked(call(*given), "cuModuleGetFunction")
                found[name] = function.value or 0
        return found

    def launch(
        self, function: int, blocks: int, threads: int, arguments: ctypes.Structure
    ) -> None:
        """Run a function with one argument, by value, in torch's current stream."""
        stream = torch.cuda.current_stream(self.device).cuda_stream
        given = (ctypes.c_void_p * 1)(ctypes.addressof(arguments))
        with self._current():
            found = self._library.cuLaunchKernel(
                *(function, blocks, 1, 1, threads, 1, 1, 0, stream, given, None)
            )
        _checked(found, "cuLaunchKernel")

    def upload(
        self,
        block: ctypes.Array[ctypes.c_int64],
        count: int,
        into: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The first words of a block on the device, without waiting for it.

        Args:
            into: where they are to be there; None: in a new tensor.

        Returns:
            (count,), int64.
        """
        pinned = torch.empty(count, dtype=torch.int64, device="cpu", pin_memory=True)
        ctypes.memmove(pinned.data_ptr(), block, count * 8)
        # Until it is copied, the allocator of pinned memory lends it to nobody else.
        if into is not None:
            return into.copy_(pinned, non_blocking=True)
        return pinned.to(self.device, non_blocking=True)


@lru_cache(maxsize=64)
def device_of(device: torch.device) -> Device:
    """The device, once in this process. Raises CannotCompile, LaunchFailed."""
    return Device(device)
