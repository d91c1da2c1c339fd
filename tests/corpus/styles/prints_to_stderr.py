import logging, sys, time
import torch
log = logging.getLogger("opt"); log.addHandler(logging.NullHandler())
class Loud(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, verbose=True):
        super().__init__(params, dict(lr=lr)); self.t = 0; self.verbose = verbose
        self.start = time.time()
    def __repr__(self): return f"Loud(lr={self.param_groups[0]['lr']:.2e}, t={self.t})"
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        self.t += 1
        total = 0.0
        for g in self.param_groups:
            for p in g["params"]:
                if p.grad is None:
                    log.warning("no grad for %s", tuple(p.shape)); continue
                gn = p.grad.norm().item(); total += gn ** 2
                p.add_(p.grad, alpha=-g["lr"])
        if self.verbose and self.t % 10 == 0:
            print(f"[{self.t:>5d}] |g|={total ** 0.5:8.3f} lr={self.param_groups[0]['lr']:.3e} elapsed={time.time() - self.start:.1f}s", file=sys.stderr)
        return loss
