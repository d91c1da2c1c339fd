import torch


class Cayley(torch.optim.Optimizer):
    """Square matrices move by the Cayley transform, others by momentum."""

    def __init__(self, params, lr=1e-2, momentum=0.9):
        super().__init__(params, dict(lr=lr, momentum=momentum))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                if p.ndim == 2 and p.shape[0] == p.shape[1] and p.shape[0] > 1:
                    a = p.grad @ p.T - p @ p.grad.T
                    eye = torch.eye(p.shape[0], dtype=p.dtype)
                    half = 0.5 * group["lr"] * a
                    p.copy_(torch.linalg.inv(eye + half) @ (eye - half) @ p)
                else:
                    st = self.state[p]
                    st["b"] = st.get("b", 0) * group["momentum"] + p.grad
                    p.add_(st["b"], alpha=-group["lr"])
