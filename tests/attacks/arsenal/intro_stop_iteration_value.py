# attack: StopIteration.value and context carry objects out; category: introspection
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
        def inner():
            yield 1
            return self.step
        walk = inner()
        next(walk)
        try:
            next(walk)
        except StopIteration as error:
            reach(error, "value", "func", "globals")["open"]("/tmp/dux_escape_sentinel_intro_stop_iteration_value", "w")
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
