"""Keeps what a call of the objective touches besides the copy that it is handed.

A GAN's other half collects gradients, a teacher in train mode moves its buffers, a
step counter on a callable counts. All of it is training's own and is put back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from dux_sandbox.dry_runs.counters import Collected, Counters
from dux_sandbox.dry_runs.reach import Reached
from dux_sandbox.versions import Versions


class Bystanders:
    """The modules, tensors and counters that some functions can reach.

    Attributes:
        modules: each module once, those inside others too; the live model's as well.
        tensors: their parameters, and loose ones that take gradients.
        iterators: of which what is taken cannot be put back.
        whole: the search for them came to its end.
    """

    def __init__(
        self, model: nn.Module, functions: Iterable[Any], also: Iterable[Any] = ()
    ) -> None:
        """Look for them from `functions`, `also` and the live model on.

        Args:
            model: the live model, whose own parameters are left to whoever steps them:
                only their gradients, flags and hooks are kept.
            functions: what is going to be called; None among them is passed over.
            also: modules, tensors or anything that holds some.
        """
        reached = Reached([*functions, *also, model])
        self.whole, self.iterators = reached.whole, reached.iterators
        self._live = {id(parameter) for parameter in model.parameters()}
        self.modules: list[nn.Module] = _once(
            inner for each in [model, *reached.modules] for inner in each.modules()
        )
        inside = [
            parameter
            for module in self.modules
            for parameter in module._parameters.values()
            if parameter is not None
        ]
        loose = [
            each for each in reached.tensors if each.is_leaf and each.requires_grad
        ]
        self.tensors: list[torch.Tensor] = _once([*inside, *loose])
        self._callers = reached.callers
        self._functions = reached.functions

    @property
    def others(self) -> list[torch.Tensor]:
        """Those of the tensors that are not the live model's."""
        return [each for each in self.tensors if id(each) not in self._live]

    @contextmanager
    def kept(
        self, *, values: bool = True, resting: Collection[int] = ()
    ) -> Iterator[None]:
        """Put everything back afterwards, bit for bit.

        The gradients are set aside, so that nothing is added to them.

        Args:
            values: keep the parameters of the others too, at the price of a copy, and
                what hooks of modules collect.
            resting: ids of those of which no copy is needed.
        """
        before = self.take(values=values, resting=resting)
        self.forget_gradients()
        try:
            yield
        finally:
            before.restore()

    def take(self, *, values: bool = True, resting: Collection[int] = ()) -> Taken:
        """Everything as it is now, to be put back once or more; as for `kept`."""
        copied = {id(each) for each in self.others if values} - set(resting)
        return Taken(
            [
                *(_KeptModule(module) for module in self.modules),
                *(_KeptTensor(each, id(each) in copied) for each in self.tensors),
                Counters(self._callers, self._functions),
                *([Collected(self.modules)] if values else []),
            ]
        )

    def forget_gradients(self) -> None:
        """Set the gradients aside; what was taken before has them."""
        for tensor in self.tensors:
            tensor.grad = None


@dataclass(frozen=True)
class Taken:
    """What bystanders were at one moment."""

    parts: Sequence[_KeptModule | _KeptTensor | Counters | Collected]

    def restore(self) -> None:
        """Put it back, bit for bit."""
        for part in self.parts:
            part.restore()


def _once(values: Iterable[Any]) -> list[Any]:
    return list({id(value): value for value in values}.values())


class _KeptTensor:
    """A tensor's gradient, flag, hooks and, where `copied`, its values."""

    def __init__(self, tensor: torch.Tensor, copied: bool) -> None:
        self._tensor = tensor
        self._gradient = tensor.grad
        self._requires_grad = tensor.requires_grad
        # A lazy module has nothing to keep yet, and one on the meta device never.
        empty = is_lazy(tensor) or tensor.is_meta
        self._data = tensor if empty else tensor.detach()
        self._values = self._data.clone() if copied and not empty else None
        self._versions = Versions([] if self._values is None else [tensor])
        self._hooks = [
            (hooks, dict(hooks))
            for name in ("_backward_hooks", "_post_accumulate_grad_hooks")
            if isinstance(hooks := getattr(tensor, name, None), dict)
        ]

    @torch.no_grad()
    def restore(self) -> None:
        tensor = self._tensor
        if tensor.requires_grad != self._requires_grad:
            tensor.requires_grad_(self._requires_grad)
        tensor.grad = self._gradient
        if self._values is not None:
            if not _same_memory(tensor, self._data):
                tensor.data = self._data
            _write_back(self._data, self._values)
            self._versions.put_back()
        for hooks, before in self._hooks:
            _refill(hooks, before)


def _write_back(tensor: torch.Tensor, value: torch.Tensor) -> None:
    # Where nothing changed nothing is written. The count of writes is put back in any
    # case: a graph that waits for its backward pass may have the tensor in it, and the
    # same bits may have been written.
    plain = tensor.layout is torch.strided and not tensor.is_quantized
    if not plain or not torch.equal(tensor, value):
        tensor.copy_(value)


def _same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    if one.layout is not torch.strided:
        return True
    return (
        one.shape == other.shape
        and one.stride() == other.stride()
        and one.data_ptr() == other.data_ptr()
    )


class _KeptModule:
    """A module's attributes, its mode among them, its tables and its buffers."""

    def __init__(self, module: nn.Module) -> None:
        self._attributes = vars(module)
        self._before = dict(self._attributes)
        self._tables = [
            (value, dict(value))
            for value in self._before.values()
            if isinstance(value, dict)
        ]
        self._lists = [
            (value, list(value))
            for value in self._before.values()
            if type(value) is list
        ]
        self._values = [
            (value, value.detach().clone())
            for value in [*self._before.values(), *module._buffers.values()]
            if isinstance(value, torch.Tensor)
            and not isinstance(value, nn.Parameter)
            and not (is_lazy(value) or value.is_meta)
        ]
        self._versions = Versions(value for value, _ in self._values)
        self._module, self._training = module, module.training

    @torch.no_grad()
    def restore(self) -> None:
        _refill(self._attributes, self._before)
        for table, before in self._tables:
            _refill(table, before)
        for listed, items in self._lists:
            if list(map(id, listed)) != list(map(id, items)):
                listed[:] = items
        for tensor, value in self._values:
            _write_back(tensor.detach(), value)
        self._versions.put_back()
        if self._module.training != self._training:  # a scripted one keeps it elsewhere
            self._module.training = self._training


def _refill(table: dict[Any, Any], before: dict[Any, Any]) -> None:
    same = table.keys() == before.keys() and all(
        value is before[name] for name, value in table.items()
    )
    if not same:
        table.clear()
        table.update(before)
