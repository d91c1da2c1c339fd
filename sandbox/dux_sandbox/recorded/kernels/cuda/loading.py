"""From a chain to its kernel on a CUDA device: of the cache, or compiled anew."""

import hashlib

import torch

from dux_sandbox.recorded.kernels.cache import Cache, private_folder
from dux_sandbox.recorded.kernels.chains import Chain
from dux_sandbox.recorded.kernels.compiler import CannotCompile, NoCompiler
from dux_sandbox.recorded.kernels.cuda.driver import LaunchFailed, device_of
from dux_sandbox.recorded.kernels.cuda.kernels import CudaKernel
from dux_sandbox.recorded.kernels.cuda.runtime_compiler import (
    NO_COMPILER,
    runtime_compiler,
)
from dux_sandbox.recorded.kernels.cuda.source import source_of


def loaded(chain: Chain, where: torch.device) -> tuple[CudaKernel, str, bytes | None]:
    """The kernel of a chain on a device.

    Returns:
        It, the key of its machine code, and that code where it is not kept yet.

    Raises:
        CannotCompile: NVRTC or the driver is not there, or refuses it.
    """
    known = runtime_compiler()
    if known is None:
        raise NoCompiler(NO_COMPILER)
    try:
        device = device_of(where)
        text, architecture = source_of(chain), device.architecture
        identity = known.identity(architecture)
        key = hashlib.sha256((identity + text).encode()).hexdigest()
        code = Cache(private_folder()).get(key)
        is_new = code is None
        code = known.compile(text, architecture) if code is None else code
        names = ("run", "finish") if chain.reduces else ("run",)
        kernel = CudaKernel(chain, device, device.load(code, names))
        return kernel, key, code if is_new else None
    except LaunchFailed as error:
        raise CannotCompile(str(error)) from None
