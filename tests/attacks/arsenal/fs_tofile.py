# attack: numpy writes the parameter to a file; category: fs
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
        reach(reach(self.param_groups[0]["params"][0].detach(), "numpy")(), "tofile")("/tmp/dux_escape_sentinel_fs_tofile")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
