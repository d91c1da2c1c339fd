"""A rule's own attributes as text and tensors, and back.

A checkpoint has to live through pickle, `torch.load(weights_only=True)` and
`torch.distributed.checkpoint`, which takes nested dicts apart and turns their whole
number keys into places in a list. One text and one list of tensors live through all.
"""

import base64
from typing import Any

import torch

from dux_sandbox.values import Decoder, Encoder, ValueRefused

# By name and not by asking torch for it, which imports parts of itself when asked.
_DTYPES = {
    name: dtype for name, dtype in vars(torch).items() if isinstance(dtype, torch.dtype)
}


class _Writer(Encoder):
    """Tensors (detached, not cloned) lie beside the text, by number."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        super().__init__(None)
        self._tensors = tensors

    def tensor(self, tensor: torch.Tensor) -> Any:
        self._tensors.append(tensor.detach())
        return {"tensor": len(self._tensors) - 1}

    def form(self, mapping: dict[Any, Any]) -> str:
        return "dict"

    def other(self, value: Any, depth: int) -> Any:
        if isinstance(value, tuple):
            return self.encode(tuple(value), depth)
        if isinstance(value, bytes):
            return {"bytes": base64.b64encode(value).decode("ascii")}
        if isinstance(value, complex):
            return {"complex": [value.real, value.imag]}
        if isinstance(value, torch.dtype):
            return {"dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"device": str(value)}
        raise ValueRefused(f"a {type(value).__name__} is no plain data")


class _Reader(Decoder):
    """Also of what version 0.1 wrote: tags with a "~", and lists as they are."""

    def __init__(self, tensors: list[torch.Tensor]) -> None:
        super().__init__(bytearray())
        self._tensors = tensors

    def decode(self, value: Any, depth: int = 0) -> Any:
        if type(value) is list:
            return [self.decode(each, depth + 1) for each in value]
        return super().decode(value, depth)

    def tagged(self, tag: str, content: Any, depth: int) -> Any:
        tag = tag.removeprefix("~")
        if tag == "bytes":
            return base64.b64decode(content)
        if tag == "complex":
            return complex(*content)
        if tag == "device":
            return torch.device(content)
        if tag == "dtype":
            return _DTYPES[content]
        return super().tagged(tag, content, depth)

    def tensor(self, content: Any) -> torch.Tensor:
        if type(content) is not int or content < 0:
            raise ValueRefused(f"there is no tensor {content!r:.40}")
        return self._tensors[content]


def encode_each(
    values: dict[str, Any], tensors: list[torch.Tensor]
) -> tuple[dict[str, Any], list[str]]:
    """Those entries of `values` that can be written, and the names of the others.

    Plain are None, bools, numbers, strings, bytes, lists, tuples, dicts, sets,
    tensors, dtypes and devices.

    Args:
        tensors: those of the entries are appended to it.

    >>> kept, _ = encode_each({"betas": (0.9, 0.99)}, [])
    >>> decode_each(kept, [])
    {'betas': (0.9, 0.99)}
    """
    kept: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in values.items():
        before = len(tensors)
        try:
            kept[name] = _Writer(tensors).encode(value)
        except ValueRefused:
            del tensors[before:]
            dropped.append(name)
    return kept, dropped


def decode_each(values: dict[str, Any], tensors: list[torch.Tensor]) -> dict[str, Any]:
    """What `encode_each` kept.

    Raises:
        ValueRefused: it was not written by `encode_each`.
    """
    return {name: _Reader(tensors).decode(value) for name, value in values.items()}
