# attack: attributes that look like the saved form of others; category: integrity
# observable: state_dict_breaks; trigger: state_dict
import math
import torch


class CandidateOptimizer(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))
        self.t = 0
        self.a = {"dux": "parameter", "index": 99}
        self.b = {"dux": "generator", "device": "cuda:9", "state": 1}
        self.c = {"dux": "object", "fields": {"x": 1}}
        self.d = {"dux": "items", "pairs": 7}
        self.e = [{"dux": "nothing"}]

    @torch.no_grad()
    def step(self, closure=None):
        self.t = self.t + 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-0.01)
        return None
