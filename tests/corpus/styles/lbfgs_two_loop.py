import torch


class MiniLBFGS(torch.optim.Optimizer):
    """Two-loop recursion over a history of three pairs, without a line search."""

    def __init__(self, params, lr=0.1, history=3):
        super().__init__(params, dict(lr=lr, history=history))
        self.s, self.y = [], []
        self.prev_w = None
        self.prev_g = None

    @torch.no_grad()
    def step(self, closure=None):
        group = self.param_groups[0]
        params = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        w = torch.cat([p.detach().flatten() for p in params])
        g = torch.cat([p.grad.flatten() for p in params])
        if self.prev_w is not None:
            s, y = w - self.prev_w, g - self.prev_g
            if torch.dot(s, y) > 1e-10:
                self.s.append(s)
                self.y.append(y)
                if len(self.s) > group["history"]:
                    self.s.pop(0)
                    self.y.pop(0)
        q = g.clone()
        alphas = []
        for s, y in zip(reversed(self.s), reversed(self.y)):
            a = torch.dot(s, q) / torch.dot(s, y)
            alphas.append(a)
            q = q - a * y
        if self.s:
            q = q * (torch.dot(self.s[-1], self.y[-1]) / torch.dot(self.y[-1], self.y[-1]))
        for (s, y), a in zip(zip(self.s, self.y), reversed(alphas)):
            b = torch.dot(y, q) / torch.dot(s, y)
            q = q + s * (a - b)
        self.prev_w, self.prev_g = w, g
        step = group["lr"] / (1.0 + q.norm())
        at = 0
        for p in params:
            p.sub_(step * q[at:at + p.numel()].view(p.shape))
            at += p.numel()
