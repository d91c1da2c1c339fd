"""Which value each tensor of a recorded rule holds now, through views and writes.

Tensors of a recorded rule are on the meta device: they have storages, strides and
views, and no memory. A write to a view is a new value of what it is a view of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from dux_sandbox.recorded.program import Place
from dux_sandbox.recorded.tape import Tape
from dux_sandbox.recorded.typing_of import type_of

Key = tuple[int, int, tuple[int, ...], tuple[int, ...], torch.dtype]


def key_of(tensor: torch.Tensor) -> Key:
    """What makes two tensors one: storage, place in it, shape, strides, dtype."""
    return (
        tensor.untyped_storage()._cdata,
        int(tensor.storage_offset()),
        tuple(tensor.shape),
        tuple(tensor.stride()),
        tensor.dtype,
    )


@dataclass
class _Whole:
    """What fills a storage: read at first use where it is an input."""

    read: Callable[[], int]
    value: int | None = None
    version: int = 0


@dataclass
class _View:
    """How a tensor comes of another one."""

    parent: Key
    shape: tuple[int, ...]
    name: str
    attributes: dict[str, Any]
    value: int = 0
    version: int = -1


@dataclass
class Storages:
    """The values of all tensors of one step.

    Attributes:
        tape: where operations are written down.
        masks: by the number of its storage, the value of the mask by which a tensor
            was picked; see `selecting`.
    """

    tape: Tape
    masks: dict[int, int] = field(default_factory=dict)
    _wholes: dict[Key, _Whole] = field(default_factory=dict)
    _whole_of: dict[int, Key] = field(default_factory=dict)
    _views: dict[Key, _View] = field(default_factory=dict)
    # While they live, no other storage has their number.
    _alive: list[torch.Tensor] = field(default_factory=list)

    def put_input(self, tensor: torch.Tensor, place: Place) -> None:
        """A tensor that is there when the step begins."""
        kind = type_of(tensor)
        self._begin(tensor, _Whole(lambda: self.tape.read(place, kind)))

    def put(self, tensor: torch.Tensor, value: int) -> None:
        """A tensor that an operation has just made, with a storage of its own."""
        self._begin(tensor, _Whole(lambda: value, value))

    def put_unknown(self, tensor: torch.Tensor, what: str) -> None:
        """A tensor that must not be read: no operation of the table makes it."""

        def refuse() -> int:
            raise self.tape.refuse(f"uses {what}")

        self._begin(tensor, _Whole(refuse))

    def _begin(self, tensor: torch.Tensor, whole: _Whole) -> None:
        key = key_of(tensor)
        self._alive.append(tensor)
        self._wholes[key] = whole
        self._whole_of[key[0]] = key

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor lies in a storage of this step."""
        return tensor.untyped_storage()._cdata in self._whole_of

    def whole(self, tensor: torch.Tensor) -> Key | None:
        """The storage's own tensor; None where it is of no storage of this step."""
        return self._whole_of.get(tensor.untyped_storage()._cdata)

    def is_written(self, tensor: torch.Tensor) -> bool:
        """Whether anything was written where this tensor lies."""
        return self._wholes[self._whole_of[key_of(tensor)[0]]].version > 0

    def put_view(
        self, view: torch.Tensor, of: torch.Tensor, name: str, **attributes: Any
    ) -> None:
        """A tensor that is what this operation of a shape makes of another one."""
        self._alive.append(view)
        key, parent = key_of(view), key_of(of)
        if key == parent or key in self._wholes or key in self._views:
            return
        self._views[key] = _View(parent, tuple(of.shape), name, attributes)

    def turn(self, tensor: torch.Tensor, before: Key) -> None:
        """A tensor has another shape now, over the same memory, than it had before."""
        key = key_of(tensor)
        if key == before or key in self._wholes or key in self._views:
            return
        shape = {"shape": list(key[2])}
        self._views[key] = _View(before, before[2], "reshape", shape)

    def read(self, tensor: torch.Tensor) -> int:
        """The value that a tensor holds now.

        Raises:
            Unrecordable: nobody has seen how it was made.
        """
        return self._read(key_of(tensor))

    def _read(self, key: Key) -> int:
        whole = self._wholes.get(key)
        if whole is not None:
            if whole.value is None:
                whole.value = whole.read()
            return whole.value
        view = self._view(key)
        version = self._wholes[self._whole_of[key[0]]].version
        if view.version != version:
            parent = self._read(view.parent)
            view.value = self.tape.emit(view.name, (parent,), **view.attributes)
            view.version = version
        return view.value

    def _view(self, key: Key) -> _View:
        view = self._views.get(key)
        if view is None:
            raise self.tape.refuse(
                "uses a tensor that is neither a parameter, a gradient nor kept in the "
                "state, or a view of another kind than transpose, view, select, slice"
            )
        return view

    def write(self, tensor: torch.Tensor, value: int) -> None:
        """From now on the tensor holds this value, and so does what shares memory."""
        self._write(key_of(tensor), value)

    def _write(self, key: Key, value: int) -> None:
        whole = self._wholes.get(key)
        if whole is not None:
            if whole.value is None:
                whole.value = whole.read()
            whole.value = value
            whole.version += 1
            return
        view = self._view(key)
        self._write(view.parent, self._scattered(view, value))

    def _scattered(self, view: _View, value: int) -> int:
        """What the parent is when its view has become `value`."""
        emit, given = self.tape.emit, view.attributes
        if view.name == "transpose":
            return emit("transpose", (value,), **given)
        if view.name == "permute":
            dims = [each % len(given["dims"]) for each in given["dims"]]
            back = [dims.index(each) for each in range(len(dims))]
            return emit("permute", (value,), dims=back)
        if view.name in ("reshape", "unsqueeze", "squeeze"):
            return emit("reshape", (value,), shape=list(view.shape))
        if view.name == "bits":
            dtype = str(view.parent[-1]).removeprefix("torch.")
            return emit("bits", (value,), dtype=dtype)
        if view.name in ("select", "slice", "diagonal"):
            parent = self._read(view.parent)
            return emit(f"{view.name}_scatter", (parent, value), **given)
        raise self.tape.refuse(f"writes into a tensor that was made by {view.name}")
