import torch


class EinsumPrecond(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                st = self.state[p]
                if g.ndim == 2:
                    cov = torch.einsum("ij,kj->ik", g, g) / g.shape[1]
                    if "cov" not in st:
                        st["cov"] = torch.eye(g.shape[0])
                    st["cov"] = st["cov"] * group["beta"] + cov * (1 - group["beta"])
                    L = torch.linalg.cholesky(st["cov"] + 0.1 * torch.eye(g.shape[0]))
                    g = torch.linalg.solve_triangular(L.mT, torch.linalg.solve_triangular(L, g, upper=False), upper=True)
                elif g.ndim == 1:
                    outer = torch.outer(g, g)
                    g = torch.linalg.solve(outer + torch.eye(g.numel()), g)
                p.add_(g, alpha=-group["lr"])
