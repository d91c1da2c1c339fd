import torch


class Quantised(torch.optim.Optimizer):
    """Momentum kept in eight bits with one scale a tensor."""

    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                if "q" not in st:
                    st["q"] = torch.zeros_like(p, dtype=torch.int8)
                    st["scale"] = torch.tensor(1.0)
                m = st["q"].to(p.dtype) * st["scale"]
                m = m.mul(group["beta"]).add(p.grad, alpha=1 - group["beta"])
                scale = m.abs().max().clamp(min=1e-12) / 127.0
                st["q"] = (m / scale).round().clamp(-127, 127).to(torch.int8)
                st["scale"] = scale
                p.add_(m, alpha=-group["lr"])
