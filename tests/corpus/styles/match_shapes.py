import torch
from torch import Tensor
from typing import Literal

Mode = Literal["sgd", "sign", "normed"]


class Dispatch(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 1e-2, mode: Mode = "normed", schedule: str = "cosine:40"):
        defaults: dict[str, object] = {"lr": lr, "mode": mode}
        super().__init__(params, defaults)
        self.kind, _, horizon = schedule.partition(":")
        self.horizon = int(horizon or 100)
        self.t = 0

    def _factor(self) -> float:
        import math
        match self.kind:
            case "constant":
                return 1.0
            case "cosine" | "cos":
                return 0.5 * (1 + math.cos(math.pi * min(self.t / self.horizon, 1.0)))
            case other:
                raise ValueError(f"unknown schedule {other!r}")

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else torch.enable_grad()(closure)()
        self.t += 1
        f = self._factor()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                match (group["mode"], tuple(p.shape)):
                    case ("sgd", _):
                        u = p.grad
                    case ("sign", (_, _)):
                        u = p.grad.sign()
                    case ("normed", ()):
                        u = torch.tanh(p.grad)
                    case ("normed", (n,)) if n > 3:
                        u = p.grad / (p.grad.norm() + 1e-6)
                    case ("normed", (rows, *rest)):
                        u = p.grad / (p.grad.reshape(rows, -1).norm(dim=1).view(rows, *[1] * len(rest)) + 1e-6)
                    case _:
                        u = p.grad
                p.add_(u, alpha=-group["lr"] * f)
        return loss
