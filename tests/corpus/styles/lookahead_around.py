import torch


class Lookahead(torch.optim.Optimizer):
    """Written around another optimizer, over the same groups."""

    def __init__(self, params, lr=1e-2, k=3, alpha=0.5):
        super().__init__(params, dict(lr=lr, k=k, alpha=alpha))
        self.optimizer = torch.optim.Adam(self.param_groups, lr=lr)
        self.fast_state = self.optimizer.state
        for group in self.param_groups:
            group["counter"] = 0

    def update(self, group):
        for fast in group["params"]:
            param_state = self.state[fast]
            if "slow_param" not in param_state:
                param_state["slow_param"] = torch.zeros_like(fast.data)
                param_state["slow_param"].copy_(fast.data)
            slow = param_state["slow_param"]
            slow += (fast.data - slow) * group["alpha"]
            fast.data.copy_(slow)

    def step(self, closure=None):
        loss = self.optimizer.step(closure)
        for group in self.param_groups:
            if group["counter"] == 0:
                self.update(group)
            group["counter"] += 1
            if group["counter"] >= group["k"]:
                group["counter"] = 0
        return loss
