"""Where a task is trained, and in which numbers: its device and its dtype."""

from typing import Any

import torch
from torch import nn

from dux_agent.errors import BadArgument

# What weights can be; the eights of torch know no arithmetic.
DTYPES = ("float32", "float64", "bfloat16", "float16")


def placing(device: Any, dtype: Any) -> dict[str, Any]:
    """The arguments that a builder of a task gets for them, without those left open.

    Args:
        device: as `torch.device` takes it; None leaves it to the task.
        dtype: a name of `DTYPES`, or the dtype itself; None leaves it to the task.

    Raises:
        BadArgument: this machine has no such device, or weights no such dtype.
    """
    found: dict[str, Any] = {}
    if device is not None:
        found["device"] = _device(device)
    if dtype is not None:
        name = str(dtype).removeprefix("torch.")
        if name not in DTYPES:
            raise BadArgument(
                f"dtype is {name!r}; one of {', '.join(DTYPES)} was wanted; pick one, "
                f"or leave it out."
            )
        found["dtype"] = getattr(torch, name)
    return found


def _device(named: Any) -> torch.device:
    try:
        device = torch.device(named)
        # One number there and back: what holds no values, or is not there, says so.
        torch.zeros(1, device=device).item()
    # torch raises what it likes for a kind of device that it was not built with.
    except (RuntimeError, AssertionError, ImportError, TypeError, ValueError) as error:
        why = str(error).split("\n", 1)[0][:100] or type(error).__name__
        raise BadArgument(
            f"device is {str(named)!r}, which holds no numbers here ({why}); one that "
            f"this machine has was wanted, such as cpu or cuda:0; name one, or leave "
            f"it out."
        ) from None
    return device


def check_placed(
    model: nn.Module, name: str, *, device: Any = None, dtype: Any = None
) -> None:
    """Raise BadArgument unless the model of the task `name` is where it was asked for.

    Args:
        device, dtype: as `placing` gave them.
    """
    for parameter in model.parameters():
        real = parameter.is_floating_point()
        for what, wanted, found in (
            ("device", device, parameter.device),
            ("dtype", dtype if real else None, parameter.dtype),
        ):
            if wanted is not None and found != _whole(wanted):
                raise BadArgument(
                    f"{name} was asked for the {what} {wanted} and built weights of "
                    f"{found}; a task that obeys was wanted; move its model and its "
                    f"batches there, or leave {what} out."
                )


def _whole(wanted: torch.device | torch.dtype) -> torch.device | torch.dtype:
    """A device with its number: "cuda" is the one that tensors are made on."""
    if isinstance(wanted, torch.device):
        return torch.empty(0, device=wanted).device
    return wanted
