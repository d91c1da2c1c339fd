import torch


class SelfBuffers(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))
        self.buffers = [torch.zeros_like(p) for g in self.param_groups for p in g["params"]]
        self.steps = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.steps += 1
        index = 0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    b = self.buffers[index]
                    b.mul_(group["beta"]).add_(p.grad, alpha=1 - group["beta"])
                    p.add_(b / (1 - group["beta"] ** self.steps), alpha=-group["lr"])
                index += 1
