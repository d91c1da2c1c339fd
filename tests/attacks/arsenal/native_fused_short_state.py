# attack: a fused step is given moments shorter than the weights; category: native
# observable: early_exit; trigger: late
import torch


class CandidateOptimizer(torch.optim.Adam):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr, fused=True)
        self.t = 0

    def step(self, closure=None):
        self.t = self.t + 1
        if self.t > 9:
            for group in self.param_groups:
                group["fused"] = True
                for p in group["params"]:
                    self.state[p]["exp_avg"] = torch.zeros(1)
                    self.state[p]["exp_avg_sq"] = torch.zeros(1)
        return super().step(closure)
