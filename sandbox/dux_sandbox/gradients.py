"""Gradients as every generated rule gets them, in whatever process it runs: dense."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import torch


class NotStrided(Exception):
    """A tensor has a layout that no program reads as it is: a sparse gradient."""


def require_strided(values: Iterable[Any]) -> None:
    """Refuse tensors that no program can read as they are. Raises NotStrided."""
    for each in values:
        if isinstance(each, torch.Tensor) and each.layout is not torch.strided:
            raise NotStrided


def dense(gradient: torch.Tensor) -> torch.Tensor:
    """The gradient itself where it is strided, else a strided copy of it."""
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


@torch.no_grad()
def forget(parameters: Iterable[torch.Tensor], set_to_none: bool) -> None:
    """What `zero_grad` does: each gradient becomes None, or zero in place."""
    for parameter in parameters:
        if parameter.grad is None:
            continue
        if set_to_none:
            parameter.grad = None
        else:
            parameter.grad.zero_()


class DenseGradients:
    """While it is entered, sparse gradients of these parameters are dense copies.

    A rule that was written for a dense gradient meets no sparse one. Afterwards every
    parameter has the very gradient it had; what was written to a copy is lost.

    >>> weight = torch.nn.Parameter(torch.zeros(3, 1))
    >>> weight.grad = torch.sparse_coo_tensor([[1]], [[2.0]], (3, 1))
    >>> with DenseGradients([weight]):
    ...     weight.grad.flatten().tolist()
    [0.0, 2.0, 0.0]
    >>> weight.grad.is_sparse
    True
    """

    def __init__(self, parameters: Iterable[torch.Tensor]) -> None:
        self._parameters = list(parameters)
        self._held: list[tuple[torch.Tensor, torch.Tensor]] = []

    def __enter__(self) -> Self:
        for parameter in self._parameters:
            gradient = parameter.grad
            if gradient is not None and gradient.layout is not torch.strided:
                self._held.append((parameter, gradient))
                parameter.grad = gradient.detach().to_dense()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._held:
            parameter, gradient = self._held.pop()
            parameter.grad = gradient

    def around(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure, which is to find the gradients that it left last."""

        def call() -> Any:
            self.__exit__(None, None, None)
            try:
                return closure()
            finally:
                self.__enter__()

        return call
