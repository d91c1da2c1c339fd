"""Plain values and tensors as JSON and raw bytes, and back, with every type named.

What crosses between the trainer and a rule's process goes through here; nothing
is ever unpickled, and a value that is not on the list is an error on both sides.
"""

import ctypes
import math
from collections import OrderedDict, defaultdict
from collections.abc import Collection
from typing import Any

import torch

# Tags take up to three levels for one of a rule's own containers.
MAX_DEPTH = 18
MAX_ITEMS = 2_000_000
# Python refuses to print integers of more than 4300 digits (14,284 bits).
MAX_BITS = 4096
_MALFORMED = (TypeError, LookupError, ValueError, RuntimeError, OverflowError)
_FEW_KEYS = 1000
_HASH_MODULUS = 2**61 - 1  # CPython's, for whole numbers on 64-bit systems
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
        *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
        *(torch.bool, torch.complex64, torch.complex128),
    )
}
_FACTORIES: dict[str, Any] = {
    kind.__name__: kind for kind in (bool, dict, float, int, list, set, str, tuple)
} | {"nothing": None}
_CONTAINERS = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class ValueRefused(ValueError):
    """A value that may not cross, or bytes that are not a value."""


Blobs = list[bytes | memoryview]


def encode(value: Any, blobs: Blobs | None) -> Any:
    """A JSON-able description of a value; tensor bytes are appended to `blobs`.

    Args:
        value: None, bool, int, float, str, dtype, tensor, or lists, tuples, sets and
            dicts of them.
        blobs: raw little-endian tensor bytes, in the order they are named; None
            describes without copying them.

    Raises:
        ValueRefused: for any other type, or nesting deeper than 18.
    """
    return Encoder(blobs).encode(value)


class Encoder:
    """Describes values; a subclass may put tensors elsewhere, and know more kinds."""

    def __init__(self, blobs: Blobs | None) -> None:
        """Append the bytes of tensors to `blobs`, if there are any."""
        self._blobs = blobs

    def encode(self, value: Any, depth: int = 0) -> Any:
        """The description of a value; see `encode`."""
        kind = type(value)
        if depth > MAX_DEPTH:
            raise ValueRefused(f"values are nested deeper than {MAX_DEPTH}")
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise ValueRefused(f"an integer has more than {MAX_BITS} bits")
            return value if abs(value) < 2**63 else {"int": hex(value)}
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, torch.Tensor):
            return self.tensor(value)
        if kind is torch.Size:
            return {"size": list(value)}
        if kind is torch.dtype and value in DTYPE_NAMES:
            return {"dtype": DTYPE_NAMES[value]}
        if kind in (list, tuple, set, frozenset):
            return {kind.__name__: [self.encode(each, depth + 1) for each in value]}
        if isinstance(value, dict):
            pairs = [
                [self.encode(key, depth + 1), self.encode(item, depth + 1)]
                for key, item in value.items()
            ]
            form = self.form(value)
            return {"dict": pairs} if form == "dict" else {"formed": [form, pairs]}
        return self.other(value, depth)

    def tensor(self, tensor: torch.Tensor) -> Any:
        """The description of a tensor."""
        fault = tensor_fault(tensor)
        if fault is not None:
            raise ValueRefused(fault)
        told: list[Any] = [DTYPE_NAMES[tensor.dtype], list(tensor.shape)]
        if not tensor.is_contiguous():
            # A rule may draw in this order, or ask for it: as laid it comes back.
            strides = tensor.stride()
            order = sorted(range(tensor.ndim), key=lambda at: -strides[at])
            tensor = tensor.detach().permute(order)
            told.append(order)
        if self._blobs is not None and tensor.numel():
            flat = whole(tensor.detach()).to("cpu").contiguous().reshape(-1)
            # frombuffer's inverse without numpy: the bytes of a uint8 view.
            self._blobs.append(bytes_of(flat))
        return {"tensor": told}

    def form(self, mapping: dict[Any, Any]) -> str:
        """What kind of dict it is."""
        return form_of(mapping)

    def other(self, value: Any, depth: int) -> Any:
        """The description of a value of no other kind."""
        raise ValueRefused(f"a {type(value).__name__} cannot leave the rule's process")


def form_of(mapping: dict[Any, Any]) -> str:
    """What a dict is: "dict", "ordered", or "default" and its factory's name.

    Raises:
        ValueRefused: another kind of dict, or a factory that is no plain class.

    >>> form_of({}), form_of(defaultdict(list))
    ('dict', 'default list')
    """
    kind = type(mapping)
    if kind is dict:
        return "dict"
    if kind is OrderedDict:
        return "ordered"
    factory = getattr(mapping, "default_factory", None)
    for name, known in _FACTORIES.items():
        if kind is defaultdict and factory is known:
            return f"default {name}"
    raise ValueRefused(
        f"a {kind.__name__} with a factory of its own cannot be kept; keep a dict and "
        f"write d.setdefault(key, value)"
    )


def formed(form: str, items: dict[Any, Any]) -> dict[Any, Any]:
    """The dict of that form with these items.

    Raises:
        ValueRefused: there is no such form.
    """
    if form == "ordered":
        return OrderedDict(items)
    name = form.removeprefix("default ") if isinstance(form, str) else ""
    if name not in _FACTORIES or form == name:
        raise ValueRefused(f"a dict of the unknown form {form!r:.40}")
    return defaultdict(_FACTORIES[name], items)


def tensor_fault(tensor: torch.Tensor) -> str | None:
    """Why a tensor cannot be kept: saved, and carried between processes; or None.

    >>> tensor_fault(torch.zeros(1).expand(3))
    'an expanded tensor cannot be kept; keep what it repeats'
    """
    if tensor.dtype not in DTYPE_NAMES or tensor.layout is not torch.strided:
        return f"a {tensor.dtype} {tensor.layout} tensor cannot be kept"
    if tensor.is_meta:
        return "a tensor on the meta device holds nothing to keep"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "an expanded tensor cannot be kept; keep what it repeats"
    return None


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor itself, or one that holds what it only says of another's memory."""
    if tensor.is_conj() or tensor.is_neg():
        return tensor.resolve_conj().resolve_neg()
    return tensor


def bytes_of(flat: torch.Tensor) -> bytes:
    """The raw bytes of a contiguous 1-d CPU tensor."""
    size = flat.numel() * flat.element_size()
    return ctypes.string_at(int(flat.data_ptr()), size)


def check_hashes(keys: Collection[Any]) -> None:
    """Refuse many keys that could all have one hash: a dict of them takes for ever."""
    if len(keys) > _FEW_KEYS and not all(
        type(key) is str or (type(key) is int and abs(key) < _HASH_MODULUS)
        for key in keys
    ):
        raise ValueRefused("a large dict or set has keys other than plain numbers")


class Decoder:
    """Reads values back from their description and the bytes that came with it."""

    def __init__(self, blob: bytearray) -> None:
        self._blob = blob
        self._at = 0
        self._items = 0

    def decode(self, value: Any, depth: int = 0) -> Any:
        """The value described.

        Raises:
            ValueRefused: anything malformed, too deep, too many or too large.
        """
        self._items += 1
        if depth > MAX_DEPTH or self._items > MAX_ITEMS:
            raise ValueRefused("a value is nested too deeply or holds too many items")
        if value is None or type(value) in (bool, int, float, str):
            return value
        if type(value) is not dict or len(value) != 1:
            raise ValueRefused("a value is neither plain nor described by one tag")
        ((tag, content),) = value.items()
        try:
            return self.tagged(tag, content, depth)
        except ValueRefused:
            raise
        except _MALFORMED:
            raise ValueRefused(f"a value tagged {tag!r:.40} is malformed") from None

    def tagged(self, tag: str, content: Any, depth: int) -> Any:
        """The value of one tag and what stands with it."""
        if tag == "tensor":
            return self.tensor(content)
        if tag == "dtype":
            return DTYPES[content]
        if tag == "float":
            return float({"inf": "inf", "-inf": "-inf", "nan": "nan"}[content])
        if tag == "int":
            if len(content) > MAX_BITS // 4 + 3:
                raise ValueRefused(f"an integer has more than {MAX_BITS} bits")
            return int(content, 16)
        if type(content) is not list:
            raise ValueRefused("a container's content is no list")
        if tag == "formed":
            form, content = content
            if type(content) is not list:
                raise ValueRefused("a container's content is no list")
            return formed(form, self.tagged("dict", content, depth))
        if tag == "dict":
            keys = [self.decode(key, depth + 1) for key, _ in content]
            check_hashes(keys)
            items = [self.decode(item, depth + 1) for _, item in content]
            return dict(zip(keys, items, strict=True))
        items = [self.decode(item, depth + 1) for item in content]
        if tag == "size":
            return torch.Size(items)
        if tag in ("set", "frozenset"):
            check_hashes(items)
        return _CONTAINERS[tag](items)

    def tensor(self, content: Any) -> torch.Tensor:
        """The tensor of a description: a view of the bytes that came with it."""
        name, shape, *orders = content
        dtype = DTYPES[name]
        listed = type(shape) is list and len(shape) <= 64
        if not listed or any(type(size) is not int or size < 0 for size in shape):
            raise ValueRefused("a tensor's shape is malformed")
        if orders:
            (order,) = orders
            if any(type(at) is not int for at in order):
                raise ValueRefused("a tensor's order is malformed")
            if sorted(order) != list(range(len(shape))):
                raise ValueRefused("a tensor's order is malformed")
            laid = self.tensor([name, [shape[at] for at in order]])
            # No view, as torch tells them: it refuses writes to some of these.
            return laid.permute([order.index(at) for at in range(len(shape))]).data
        count = math.prod(shape)
        size = count * dtype.itemsize
        if self._at + size > len(self._blob):
            raise ValueRefused("a tensor is larger than the bytes that came with it")
        if count == 0:
            return torch.empty(shape, dtype=dtype)
        piece = bytearray(memoryview(self._blob)[self._at : self._at + size])
        self._at += size
        return torch.frombuffer(piece, dtype=dtype).reshape(shape)

    def finish(self) -> None:
        """Raise ValueRefused when bytes are left over."""
        if self._at != len(self._blob):
            raise ValueRefused("bytes are left over after the last tensor")
