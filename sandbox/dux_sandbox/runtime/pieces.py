"""Tensors put together and taken apart: how many pieces, and how much they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from dux_sandbox.language import torch_names, vocabulary
from dux_sandbox.runtime.broadcasting import check_together
from dux_sandbox.runtime.budget import account

Check = Callable[..., None]


# A tensor object takes some 500 bytes where a place in a list takes 8.
_ITEMS_OF_A_TENSOR = 64


def check_pieces(count: float, name: str) -> None:
    """Refuse to make more than `vocabulary.TENSORS_AT_ONCE` tensors, or too many now.

    Raises:
        ValueError: `count` is over the cap.
    """
    if count > vocabulary.TENSORS_AT_ONCE:
        raise ValueError(
            f"{name} would make {count:.0f} tensors; at most "
            f"{vocabulary.TENSORS_AT_ONCE}; work on the whole tensor at once"
        )
    account(int(count) * _ITEMS_OF_A_TENSOR)


def check_rows(tensor: torch.Tensor) -> None:
    """Refuse to iterate over a tensor of too many rows: each becomes a tensor.

    Raises:
        ValueError: as `check_pieces`.
    """
    if tensor.ndim:
        check_pieces(tensor.shape[0], "iteration over a tensor")


def check_joined(tensors: Iterable[Any], name: str) -> None:
    """Refuse to make more than the tensors hold, beyond the cap, by repeating them.

    Raises:
        ValueError: more than `vocabulary.ELEMENTS` elements, and more than there are.
    """
    held = [each for each in tensors if isinstance(each, torch.Tensor)]
    total = sum(each.numel() for each in held)
    if total <= vocabulary.ELEMENTS:
        return
    there: dict[int, int] = {}
    for each in held:
        if each.layout is torch.strided and not each.is_meta:
            storage = each.untyped_storage()
            there[storage.data_ptr()] = storage.nbytes() // each.element_size()
    if total > sum(there.values()):
        raise ValueError(
            f"{name} would make {total} elements of {sum(there.values())}; at most "
            f"{vocabulary.ELEMENTS}; do not repeat tensors"
        )


def _join(name: str) -> Check:
    def check(*tensors: Any, **options: Any) -> None:
        given = tensors[0] if tensors else options.get("tensors", ())
        if isinstance(given, (list, tuple)):
            check_joined(given, name)

    return check


def _each_joined(name: str) -> Check:
    """`_foreach_*`: a tensor for each of the first list, spread out by the others."""

    def check(*arguments: Any, **options: Any) -> None:
        given = [*arguments, *options.values()]
        lists = [value for value in given if isinstance(value, (list, tuple))]
        for listed in lists[:2]:  # the first may be the scalar's place
            check_joined(listed, name)
        for together in zip(*lists, strict=False):
            check_together(together)

    return check


def _count_of(sections: Any, length: int, *, of_size: bool) -> float:
    if isinstance(sections, (list, tuple)):
        return len(sections) + 1
    if isinstance(sections, torch.Tensor):
        return float(sections) if not sections.ndim else sections.numel() + 1
    number = float(sections)
    return length / max(1.0, number) if of_size else number


def _length(tensor: Any, dim: Any) -> int:
    return tensor.shape[dim] if tensor.ndim and -tensor.ndim <= dim < tensor.ndim else 0


def _unbind(tensor: Any, dim: Any = 0) -> None:
    check_pieces(_length(tensor, dim), "unbind")


def _split(tensor: Any, split_size: Any = 1, dim: Any = 0, **options: Any) -> None:
    size = next(iter(options.values()), split_size)
    check_pieces(_count_of(size, _length(tensor, dim), of_size=True), "split")


def _chunk(tensor: Any, chunks: Any, dim: Any = 0) -> None:
    check_pieces(min(float(chunks), _length(tensor, dim)), "chunk")


def _sections(name: str) -> Check:
    def check(tensor: Any, *sections: Any, dim: Any = 0, **options: Any) -> None:
        for value in (*sections[:1], *options.values()):
            check_pieces(_count_of(value, 0, of_size=False), name)

    return check


CHECKS: dict[str, Check] = {
    "chunk": _chunk,
    "split": _split,
    "tensor_split": _sections("tensor_split"),
    "unbind": _unbind,
}
FUNCTIONS: dict[str, Check] = {
    **{
        f"torch.{name}": _join(name)
        for name in """cat column_stack concat concatenate dstack hstack stack
        vstack""".split()
    },
    **{
        f"torch.{name}": _each_joined(name)
        for name in torch_names.FOREACH
        if not name.endswith("_")
    },
    "torch.nn.utils.parameters_to_vector": lambda parameters: check_joined(
        list(parameters), "parameters_to_vector"
    ),
}
METHODS: dict[str, Check] = {
    "dsplit": _sections("dsplit"),
    "hsplit": _sections("hsplit"),
    "split_with_sizes": _split,
    "vsplit": _sections("vsplit"),
}
