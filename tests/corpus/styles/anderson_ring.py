import torch


class AndersonMixing(torch.optim.Optimizer):
    """Depth-3 Anderson/Pulay mixing per tensor over a ring of differences; falls back to momentum for the first steps."""

    def __init__(self, params, lr=0.02, depth=3, reg=1e-3):
        super().__init__(params, dict(lr=lr, depth=depth, reg=reg))
        self.it = 0

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            k = group["depth"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                x, r = p.reshape(-1), p.grad.reshape(-1)
                if "X" not in st:
                    st["X"] = torch.zeros(k, x.numel())
                    st["R"] = torch.zeros(k, x.numel())
                    st["x_prev"], st["r_prev"] = x.clone(), r.clone()
                    p.add_(p.grad, alpha=-group["lr"])
                    continue
                slot = self.it % k
                st["X"][slot] = x - st["x_prev"]
                st["R"][slot] = r - st["r_prev"]
                st["x_prev"].copy_(x)
                st["r_prev"].copy_(r)
                R = st["R"]
                A = R @ R.T
                A = A + group["reg"] * (A.diagonal().mean() + 1e-8) * torch.eye(k)
                gamma = torch.linalg.solve(A, R @ r)
                d = group["lr"] * r + 0.1 * (gamma @ (st["X"] - group["lr"] * R))
                p.sub_(d.view_as(p))
        self.it += 1
        return loss
