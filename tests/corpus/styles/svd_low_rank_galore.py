import torch


class GaLore(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, rank=3, gap=4, betas=(0.9, 0.99)):
        super().__init__(params, dict(lr=lr, rank=rank, gap=gap, betas=betas))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                st = self.state[p]
                if "step" not in st:
                    st["step"] = 0
                low = p.ndim == 2 and min(p.shape) > group["rank"]
                if low:
                    if st["step"] % group["gap"] == 0:
                        U, S, Vh = torch.linalg.svd(g, full_matrices=False)
                        st["P"] = U[:, :group["rank"]].contiguous()
                    r = st["P"].t() @ g
                else:
                    r = g
                if "m" not in st:
                    st["m"] = torch.zeros_like(r)
                    st["v"] = torch.zeros_like(r)
                st["step"] += 1
                st["m"].mul_(b1).add_(r, alpha=1 - b1)
                st["v"].mul_(b2).addcmul_(r, r, value=1 - b2)
                c1, c2 = 1 - b1 ** st["step"], 1 - b2 ** st["step"]
                u = (st["m"] / c1) / ((st["v"] / c2).sqrt() + 1e-8)
                if low:
                    u = st["P"] @ u
                p.add_(u, alpha=-group["lr"])
