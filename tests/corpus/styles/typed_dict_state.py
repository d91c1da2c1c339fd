from __future__ import annotations
from typing import Protocol, TypedDict, Generic, TypeVar, overload, Final, runtime_checkable
import torch

T = TypeVar("T")
EPS: Final[float] = 1e-8

class HasGrad(Protocol):
    grad: torch.Tensor | None

class AdamState(TypedDict):
    step: int
    m: torch.Tensor

class Accumulator(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value
    def add(self, other: T) -> T:
        self.value = self.value + other
        return self.value

class Typed(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr})
        self.acc: Accumulator[int] = Accumulator(0)
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        t = self.acc.add(1)
        for group in self.param_groups:
            for p in group["params"]:
                self._one(p, group["lr"], t)
        return loss
    def _one(self, p: HasGrad, lr: float, t: int) -> None:
        if p.grad is None:
            return
        st: AdamState = self.state[p]
        st["step"] = t
        m = st.get("m")
        st["m"] = p.grad.clone() if m is None else 0.9 * m + 0.1 * p.grad
        p.sub_(lr * st["m"] / (st["m"].abs().mean() + EPS))
