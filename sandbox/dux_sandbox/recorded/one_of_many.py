"""The operations on lists of tensors, for one tensor of each list."""

from typing import Any

import torch

_POSITIONAL = (
    *("other", "scalar", "scalars", "exponent", "tensors1", "weight", "weights"),
    *("tensor1", "tensor2", "src"),
)


def on_one(name: str, given: dict[str, Any]) -> Any:
    """What `_foreach_` of this name does to one tensor of each list.

    Args:
        given: the arguments by their names in aten's schema; taken apart.
    """
    first = given.pop("self")
    others = [given.pop(key) for key in _POSITIONAL if key in given]
    plain = name.removesuffix("_")
    if plain == "norm":
        ord, *_ = [*others, given.get("ord", 2)]
        return torch.linalg.vector_norm(first, ord, dtype=given.get("dtype"))
    if others and not isinstance(others[0], torch.Tensor):
        plain = {"maximum": "clamp_min", "minimum": "clamp_max"}.get(plain, plain)
    if plain == "copy":
        return first.copy_(others[0])
    if name.endswith("_"):
        if not hasattr(first, f"{plain}_"):
            return first.copy_(getattr(torch, plain)(first, *others, **given))
        return getattr(first, f"{plain}_")(*others, **given)
    return getattr(torch, plain)(first, *others, **given)
