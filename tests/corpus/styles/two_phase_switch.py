import torch


class AdamThenSGD(torch.optim.Optimizer):
    """SWATS-like: Adam for some steps, then momentum SGD from its state."""

    def __init__(self, params, lr=1e-3, sgd_lr=1e-2, switch=6, betas=(0.9, 0.999)):
        super().__init__(params, dict(lr=lr, sgd_lr=sgd_lr, betas=betas))
        self.switch = switch
        self.phase = "adam"
        self.t = 0

    def _adam(self, group, p, state):
        b1, b2 = group["betas"]
        state["m"] = b1 * state["m"] + (1 - b1) * p.grad
        state["v"] = b2 * state["v"] + (1 - b2) * p.grad ** 2
        mh = state["m"] / (1 - b1 ** self.t)
        vh = state["v"] / (1 - b2 ** self.t)
        p -= group["lr"] * mh / (vh ** 0.5 + 1e-8)

    def _sgd(self, group, p, state):
        state["m"] = group["betas"][0] * state["m"] + p.grad
        p -= group["sgd_lr"] * state["m"]

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        if self.t > self.switch and self.phase == "adam":
            self.phase = "sgd"
            for group in self.param_groups:
                for p in group["params"]:
                    if p in self.state:
                        self.state[p].pop("v", None)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state["m"] = torch.zeros_like(p)
                    state["v"] = torch.zeros_like(p)
                (self._adam if self.phase == "adam" else self._sgd)(group, p, state)
