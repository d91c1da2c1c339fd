import torch
class Gen(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01): super().__init__(params, dict(lr=lr))
    def _iter(self):
        for gi, group in enumerate(self.param_groups):
            for pi, p in enumerate(group["params"]):
                if p.grad is not None:
                    yield (gi, pi), group, p, self.state[p]
    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else closure()
        norms = {key: p.grad.norm() for key, _, p, _ in self._iter()}
        biggest = max(norms, key=lambda k: norms[k].item()) if norms else None
        for key, group, p, s in self._iter():
            m = s.setdefault("m", torch.zeros_like(p))
            m.lerp_(p.grad, 0.1)
            scale = 0.5 if key == biggest else 1.0
            p.add_(m, alpha=-group["lr"] * scale)
        return loss
