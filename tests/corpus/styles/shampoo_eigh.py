import torch


class Shampoo(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-2, momentum=0.9, weight_decay=0.0, epsilon=1e-3,
                 update_freq=3, max_dim=64):
        super().__init__(params, dict(lr=lr, momentum=momentum, weight_decay=weight_decay,
                                      epsilon=epsilon, update_freq=update_freq, max_dim=max_dim))

    def _inv_root(self, M, order, eps):
        d = M.shape[0]
        sym = (M + M.T) / 2
        w, Q = torch.linalg.eigh(sym.double() + eps * torch.eye(d, dtype=torch.float64))
        w = w.clamp(min=eps)
        return (Q * w.pow(-1.0 / order)) @ Q.mT

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for i, p in enumerate(group["params"]):
                if p.grad is None:
                    continue
                grad = p.grad
                order = grad.ndimension()
                state = self.state[p]
                if len(state) == 0:
                    state["step"] = 0
                    state["momentum_buffer"] = grad.clone()
                    state["precond"] = [group["epsilon"] * torch.eye(d) for d in grad.shape]
                    state["inv"] = [torch.eye(d) for d in grad.shape]
                if group["weight_decay"] > 0:
                    grad = grad.add(p, alpha=group["weight_decay"])
                if all(d <= group["max_dim"] for d in grad.shape):
                    for dim, size in enumerate(grad.shape):
                        g = grad.transpose(0, dim).contiguous().view(size, -1)
                        state["precond"][dim].add_(g @ g.t())
                        if state["step"] % group["update_freq"] == 0:
                            inv = self._inv_root(state["precond"][dim], 2 * order, group["epsilon"])
                            state["inv"][dim].copy_(inv)
                        rest = grad.transpose(0, dim).shape
                        grad = (state["inv"][dim] @ g).view(rest).transpose(0, dim)
                state["step"] += 1
                buf = state["momentum_buffer"]
                buf.mul_(group["momentum"]).add_(grad, alpha=1 - group["momentum"])
                p.add_(buf, alpha=-group["lr"])
        return loss
