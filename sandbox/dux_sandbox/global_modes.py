"""torch's process-wide switches: one table of them, to look at, put back and tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch


def _set_default_device(device: torch.device) -> None:
    # Naming the CPU would leave a function mode behind; None takes it off.
    torch.set_default_device(None if device.type == "cpu" else device)


def _only_warn(warn: bool) -> None:
    strict = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(strict, warn_only=warn)


def set_default_dtype(name: str) -> None:
    """What torch makes of a Python float from now on; a name such as `float32`."""
    torch.set_default_dtype(getattr(torch, name))


def _matmul_precision() -> str | None:
    """None where it was set by newer names than this one: torch raises then."""
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:
        return None


def _set_matmul_precision(name: str | None) -> None:
    if name is not None:
        torch.set_float32_matmul_precision(name)


# torch's own function imports a compiler, which a jailed process cannot.
def _hear_deterministic(strict: bool) -> None:
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch._C._set_deterministic_algorithms(strict, warn_only=warn)


def _hear_only_warn(warn: bool) -> None:
    strict = torch.are_deterministic_algorithms_enabled()
    torch._C._set_deterministic_algorithms(strict, warn_only=warn)


@dataclass(frozen=True)
class Mode:
    """One switch.

    Attributes:
        name: in words.
        asked: the expression that tells how it stands, of `torch` alone.
        write: sets it; None: it cannot be set.
        hear: sets it in a jailed process as it is told to be; None: it stays as it is
            there, since no step computes anything else for it.
        read: tells how it stands where `asked` alone cannot; None: `asked` does.
    """

    name: str
    asked: str
    write: Callable[[Any], Any] | None = None
    hear: Callable[[Any], Any] | None = None
    read: Callable[[], Any] | None = None

    def reader(self) -> Callable[[], Any]:
        """What tells how it stands now."""
        if self.read is not None:
            return self.read
        path = self.asked.removeprefix("torch.").removesuffix("()").split(".")
        read: Any = torch
        for name in path:
            read = getattr(read, name)
        return read  # type: ignore[no-any-return]


def _newer_precisions() -> tuple[Mode, ...]:
    """That of products on a processor, as torch 2.9 and later have it beside."""
    of = "mkldnn", "matmul"
    asked = f"torch._C._get_fp32_precision_getter{of}"
    try:
        read = partial(torch._C._get_fp32_precision_getter, *of)
        write = partial(torch._C._set_fp32_precision_setter, *of)
    except AttributeError:
        return ()
    return (Mode("precision of products on a processor", asked, write, write, read),)


MODES = (
    Mode("grad mode", "torch.is_grad_enabled()", torch._C._set_grad_enabled),
    Mode("inference mode", "torch.is_inference_mode_enabled()"),
    Mode(
        "default dtype",
        "torch.get_default_dtype()",
        torch.set_default_dtype,
        set_default_dtype,
    ),
    Mode("default device", "torch.get_default_device()", _set_default_device),
    Mode(
        "deterministic algorithms",
        "torch.are_deterministic_algorithms_enabled()",
        torch.use_deterministic_algorithms,
        _hear_deterministic,
    ),
    Mode(
        "warnings instead of deterministic algorithms",
        "torch.is_deterministic_algorithms_warn_only_enabled()",
        _only_warn,
        _hear_only_warn,
    ),
    Mode("number of threads", "torch.get_num_threads()", torch.set_num_threads),
    Mode("anomaly detection", "torch.is_anomaly_enabled()", torch.set_anomaly_enabled),
    Mode(
        "float32 matmul precision",
        "torch.get_float32_matmul_precision()",
        _set_matmul_precision,
        _set_matmul_precision,
        _matmul_precision,
    ),
    *_newer_precisions(),
    Mode("torch function modes", "torch._C._len_torch_function_stack()"),
)
_READERS = [mode.reader() for mode in MODES]
_TOLD = [(mode.name, mode.reader(), mode.hear) for mode in MODES if mode.hear]


class Modes:
    """torch's process-wide switches at one moment."""

    def __init__(self) -> None:
        self._values = [read() for read in _READERS]

    def changed(self) -> str | None:
        """The first switch that stands otherwise now, as a sentence, or None."""
        for mode, read, before in zip(MODES, _READERS, self._values, strict=True):
            now = read()
            if now != before:
                return f"the step changed torch's {mode.name} from {before} to {now}"
        return None

    def restore(self) -> None:
        """Set back what differs."""
        for mode, read, before in zip(MODES, _READERS, self._values, strict=True):
            if mode.write is not None and read() != before:
                mode.write(before)


def tell() -> dict[str, Any]:
    """How the switches stand that steps hang on, by name, as plain data."""
    return {name: _plain(read()) for name, read, _ in _TOLD}


def hear(told: Mapping[str, Any]) -> None:
    """Set them in a jailed process as `tell` found them in the trainer's."""
    for name, read, write in _TOLD:
        if _plain(read()) != told[name]:
            write(told[name])


def _plain(value: Any) -> Any:
    is_dtype = isinstance(value, torch.dtype)
    return str(value).removeprefix("torch.") if is_dtype else value
