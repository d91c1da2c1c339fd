import torch
DEFAULTS = {"lr": 3e-3, "momentum": 0.9, "clip": {"type": "norm", "value": 1.0}}
class Cfg(torch.optim.Optimizer):
    def __init__(self, params, **overrides):
        cfg = {**DEFAULTS, **overrides}
        unknown = set(cfg) - set(DEFAULTS)
        if unknown:
            raise TypeError(f"unknown options: {sorted(unknown)}")
        super().__init__(params, cfg)
    def _clip(self, grads, cfg):
        kind, value = cfg["type"], cfg["value"]
        if kind == "norm":
            total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            coef = torch.clamp(value / (total + 1e-6), max=1.0)
            return torch._foreach_mul(grads, coef)
        elif kind == "value":
            return [g.clamp(-value, value) for g in grads]
        return grads
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad(): loss = closure()
        for group in self.param_groups:
            ps = [p for p in group["params"] if p.grad is not None]
            if not ps: continue
            gs = self._clip([p.grad for p in ps], group["clip"])
            bufs = []
            for p in ps:
                st = self.state[p]
                if "buf" not in st: st["buf"] = torch.zeros_like(p)
                bufs.append(st["buf"])
            torch._foreach_mul_(bufs, group["momentum"]); torch._foreach_add_(bufs, gs)
            torch._foreach_add_(ps, bufs, alpha=-group["lr"])
        return loss
