import torch


class TopK(torch.optim.Optimizer):
    """Error feedback: only the largest tenth of each gradient is applied."""

    def __init__(self, params, lr=1e-2, ratio=0.1):
        super().__init__(params, dict(lr=lr, ratio=ratio))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                st = self.state[p]
                err = st.setdefault("err", torch.zeros_like(p))
                acc = err + p.grad
                flat = acc.flatten()
                k = max(1, int(group["ratio"] * flat.numel()))
                _, idx = torch.topk(flat.abs(), k)
                out = torch.zeros_like(flat)
                out.scatter_(0, idx, flat.gather(0, idx))
                out = out.view_as(p)
                st["err"] = acc - out
                p.add_(out, alpha=-group["lr"])
