"""Gradients as every generated rule gets them, in whatever process it runs: dense."""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

import torch


class NotDense(RuntimeError):
    """A tensor is none that a program reads and writes as it is: a sparse gradient."""


def shares_itself(tensor: torch.Tensor) -> bool:
    """Whether several elements of a strided tensor are one place in memory.

    Torch writes to no such tensor, as one that `expand` has made.

    >>> shares_itself(torch.ones(1).expand(3)), shares_itself(torch.ones(3))
    (True, False)
    """
    if tensor.is_contiguous():
        return False
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return any(stride == 0 and size > 1 for size, stride in sizes)


def is_dense(gradient: torch.Tensor) -> bool:
    """Whether every element has a place of its own."""
    return gradient.layout is torch.strided and not shares_itself(gradient)


def require_dense(values: Iterable[Any]) -> None:
    """Refuse tensors that no program can read and write as they are.

    Raises:
        NotDense: one is sparse, or its elements share memory.
    """
    for each in values:
        if isinstance(each, torch.Tensor) and not is_dense(each):
            raise NotDense(
                "a tensor is sparse, or elements of it are a single memory location"
            )


@torch.no_grad()
def dense(gradient: torch.Tensor) -> torch.Tensor:
    """The gradient itself where it is dense, else a dense copy of it."""
    if is_dense(gradient):
        return gradient
    if gradient.layout is torch.strided:
        return gradient.detach().clone(memory_format=torch.contiguous_format)
    return gradient.detach().to_dense()


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
    """While it is entered, gradients that are not dense are so: sparse ones, and those
    of which elements share memory, are copies.

    A rule that was written for a dense gradient meets no other one. Afterwards every
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
            if gradient is not None and not is_dense(gradient):
                self._held.append((parameter, gradient))
                parameter.grad = dense(gradient)
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
