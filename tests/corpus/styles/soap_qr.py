import torch


class SOAP(torch.optim.Optimizer):
    def __init__(self, params, lr=3e-3, betas=(0.95, 0.95), shampoo_beta=0.95, eps=1e-8,
                 precondition_frequency=4):
        super().__init__(params, dict(lr=lr, betas=betas, shampoo_beta=shampoo_beta, eps=eps,
                                      precondition_frequency=precondition_frequency))

    @staticmethod
    def get_orthogonal_matrix(mat):
        _, q = torch.linalg.eigh(mat + 1e-12 * torch.eye(mat.shape[0], device=mat.device))
        return torch.flip(q, [1])

    @staticmethod
    def refresh(gg, q):
        est = torch.diag(q.T @ gg @ q)
        order = torch.argsort(est, descending=True)
        q = q[:, order]
        q, _ = torch.linalg.qr(gg @ q)
        return q

    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                g = p.grad
                state = self.state[p]
                two = g.dim() == 2 and max(g.shape) <= 64
                if "step" not in state:
                    state["step"] = 0
                    state["exp_avg"] = torch.zeros_like(g)
                    state["exp_avg_sq"] = torch.zeros_like(g)
                    if two:
                        state["GG"] = [g @ g.T, g.T @ g]
                        state["Q"] = [self.get_orthogonal_matrix(m) for m in state["GG"]]
                    continue
                state["step"] += 1
                gp = g
                if two:
                    gp = state["Q"][0].T @ g @ state["Q"][1]
                state["exp_avg"].mul_(beta1).add_(g, alpha=1 - beta1)
                state["exp_avg_sq"].mul_(beta2).add_(gp.square(), alpha=1 - beta2)
                m = state["exp_avg"]
                if two:
                    m = state["Q"][0].T @ m @ state["Q"][1]
                c1 = 1 - beta1 ** state["step"]
                c2 = 1 - beta2 ** state["step"]
                update = (m / c1) / ((state["exp_avg_sq"] / c2).sqrt() + group["eps"])
                if two:
                    update = state["Q"][0] @ update @ state["Q"][1].T
                p.add_(update, alpha=-group["lr"])
                if two:
                    state["GG"][0].lerp_(g @ g.T, 1 - group["shampoo_beta"])
                    state["GG"][1].lerp_(g.T @ g, 1 - group["shampoo_beta"])
                    if state["step"] % group["precondition_frequency"] == 0:
                        state["Q"] = [self.refresh(gg, q) for gg, q in zip(state["GG"], state["Q"])]
        return loss
