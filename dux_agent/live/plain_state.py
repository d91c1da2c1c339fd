"""What a rule keeps in its state as `torch.save` writes it, and back.

`torch.load(weights_only=True)` knows dicts and no defaultdict: one is written as a dict
with one entry that says what it was.
"""

from typing import Any

import torch

from dux_agent.live.saved_checkpoint import refused
from dux_sandbox.values import ValueRefused, form_of, formed, tensor_fault

_FORM = "dux.form"


def lowered(value: Any) -> Any:
    """A value of a rule's state as plain data; tensors are detached and shared."""
    if isinstance(value, torch.Tensor):
        return value.detach() if value.requires_grad else value
    if isinstance(value, dict):
        items = {key: lowered(item) for key, item in value.items()}
        form = form_of(value)
        return items if form == "dict" else {_FORM: form, "items": items}
    if type(value) in (list, tuple):
        return type(value)(lowered(item) for item in value)
    return value


def raised(value: Any, device: torch.device) -> Any:
    """A deep copy on `device` of what `lowered` gave, which may be anybody's.

    Dtypes stay: a rule may keep wide state on purpose.

    Raises:
        CheckpointRefused: it is nothing that `lowered` gives.
    """
    if isinstance(value, torch.Tensor):
        fault = tensor_fault(value)
        if fault is not None:
            raise refused(f"its state holds a tensor that no rule keeps: {fault}")
        # Counters of no dimension stay where torch's own optimizers keep them.
        where = value.device if value.ndim == 0 else device
        return value.detach().to(where, copy=True)
    if type(value) is dict:
        if value.keys() == {_FORM, "items"} and type(value["items"]) is dict:
            try:
                return formed(value[_FORM], raised(value["items"], device))
            except ValueRefused as error:
                raise refused(f"its state holds {error}") from None
        return {key: raised(item, device) for key, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(raised(item, device) for item in value)
    plain = (torch.Size, torch.dtype, bool, int, float, str, bytes, complex)
    if value is None or type(value) in plain:
        return value
    raise refused(f"its state holds a {type(value).__name__}, no plain data")
