import torch


class SAMLike(torch.optim.Optimizer):
    """Ascends at odd steps and descends from the old place at even ones."""

    def __init__(self, params, lr=1e-2, rho=0.05):
        super().__init__(params, dict(lr=lr, rho=rho))
        self.first = True

    def _grad_norm(self):
        device = self.param_groups[0]["params"][0].device
        return torch.norm(torch.stack([p.grad.norm(p=2).to(device)
                                       for group in self.param_groups
                                       for p in group["params"] if p.grad is not None]), p=2)

    @torch.no_grad()
    def step(self, closure=None):
        if self.first:
            norm = self._grad_norm()
            for group in self.param_groups:
                scale = group["rho"] / (norm + 1e-12)
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    self.state[p]["old_p"] = p.data.clone()
                    p.add_(p.grad * scale.to(p))
        else:
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    if "old_p" in self.state[p]:
                        p.data = self.state[p]["old_p"]
                    p.add_(p.grad, alpha=-group["lr"])
        self.first = not self.first
