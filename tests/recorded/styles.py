"""Twelve rules in other styles than the corpus: as models and people write them."""

_HEAD = "import math\nimport torch\nfrom torch.optim import Optimizer\n\n\n"
_LOOP = """\
    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                self.update(p, p.grad, self.state[p], group)
        return loss
"""


def _by_update(name, options, body):
    """A class whose step calls `update` for each parameter with these lines."""
    names = ", ".join(
        "{0}={0}".format(option.split("=")[0].strip()) for option in options.split(",")
    )
    lines = "".join(f"        {line}\n" for line in body.strip("\n").split("\n"))
    return (
        f"{_HEAD}class {name}(Optimizer):\n"
        f"    def __init__(self, params, {options}):\n"
        f"        super().__init__(params, dict({names}))\n\n"
        f"    def update(self, p, g, s, group):\n{lines}\n{_LOOP}"
    )


STYLES = {
    "lion": _by_update(
        "Lion",
        "lr=1e-3, b1=0.9, b2=0.99, wd=0.1",
        """
m = s.setdefault("m", torch.zeros_like(p))
p.mul_(1 - group["lr"] * group["wd"])
p.add_(torch.sign(m * group["b1"] + g * (1 - group["b1"])), alpha=-group["lr"])
m.lerp_(g, 1 - group["b2"])
""",
    ),
    "adagrad": _by_update(
        "Adagrad",
        "lr=1e-2, eps=1e-10",
        """
if "total" not in s:
    s["total"] = torch.full_like(p, 0.1)
s["total"] += g * g
p -= group["lr"] * g / (s["total"].sqrt() + group["eps"])
""",
    ),
    "rmsprop centered": _by_update(
        "RMS",
        "lr=1e-3, rho=0.99",
        """
if not s:
    s["sq"], s["mean"] = torch.zeros_like(p), torch.zeros_like(p)
s["sq"].mul_(group["rho"]).addcmul_(g, g, value=1 - group["rho"])
s["mean"].lerp_(g, 1 - group["rho"])
spread = s["sq"].addcmul(s["mean"], s["mean"], value=-1).clamp_(min=0).sqrt_()
p.addcdiv_(g, spread + 1e-8, value=-group["lr"])
""",
    ),
    "lamb": _by_update(
        "Lamb",
        "lr=1e-2, b1=0.9, b2=0.999, wd=0.01",
        """
if len(s) == 0:
    s["t"] = 0
    s["m"] = torch.zeros_like(p)
    s["v"] = torch.zeros_like(p)
s["t"] += 1
s["m"].mul_(group["b1"]).add_(g, alpha=1 - group["b1"])
s["v"].mul_(group["b2"]).addcmul_(g, g, value=1 - group["b2"])
u = s["m"] / (1 - group["b1"] ** s["t"])
u = u / ((s["v"] / (1 - group["b2"] ** s["t"])).sqrt() + 1e-6) + group["wd"] * p
w, n = p.norm().item(), u.norm().item()
ratio = w / n if w > 0 and n > 0 else 1.0
p.add_(u, alpha=-group["lr"] * min(ratio, 10.0))
""",
    ),
    "centralized gradients": _by_update(
        "Central",
        "lr=1e-2, momentum=0.9",
        """
if g.dim() > 1:
    g = g - g.mean(dim=tuple(range(1, g.dim())), keepdim=True)
buffer = s.get("buffer")
if buffer is None:
    buffer = s["buffer"] = g.clone()
else:
    buffer.mul_(group["momentum"]).add_(g)
p.sub_(buffer, alpha=group["lr"])
""",
    ),
    "sign agreement": _by_update(
        "Cautious",
        "lr=1e-3, beta=0.9",
        """
m = s.setdefault("m", torch.zeros_like(p)).mul_(group["beta"]).add_(g)
mask = (m * g > 0).to(g.dtype)
mask /= mask.mean().clamp_(min=1e-3)
p.add_(m * mask, alpha=-group["lr"])
""",
    ),
    "factored": _by_update(
        "Factored",
        "lr=1e-2, decay=0.9",
        """
sq = g.pow(2) + 1e-30
if p.dim() == 2:
    r = s.setdefault("r", torch.zeros(p.shape[0], device=p.device, dtype=p.dtype))
    c = s.setdefault("c", torch.zeros(p.shape[1], device=p.device, dtype=p.dtype))
    r.mul_(group["decay"]).add_(sq.mean(dim=1), alpha=1 - group["decay"])
    c.mul_(group["decay"]).add_(sq.mean(dim=0), alpha=1 - group["decay"])
    u = g * (r / r.mean()).rsqrt().unsqueeze(1) * c.rsqrt().unsqueeze(0)
else:
    v = s.setdefault("v", torch.zeros_like(p))
    v.mul_(group["decay"]).add_(sq, alpha=1 - group["decay"])
    u = g * v.rsqrt()
u /= max(1.0, float(u.norm() / u.numel() ** 0.5))
p.add_(u, alpha=-group["lr"])
""",
    ),
    "rows normalised": _by_update(
        "Rows",
        "lr=1e-2, eps=1e-8",
        """
if p.ndim == 2:
    g = torch.nn.functional.normalize(g, dim=1)
else:
    g = g / (g.abs().max() + group["eps"])
p.data.add_(g, alpha=-group["lr"])
""",
    ),
    "cosine by hand": _by_update(
        "Cosine",
        "lr=1e-2, warm=3, total=20",
        """
s["t"] = s.get("t", 0) + 1
t = s["t"]
if t <= group["warm"]:
    rate = group["lr"] * t / group["warm"]
else:
    done = min(1.0, (t - group["warm"]) / (group["total"] - group["warm"]))
    rate = group["lr"] * 0.5 * (1 + math.cos(math.pi * done))
p.add_(g, alpha=-rate)
""",
    ),
    "foreach": _HEAD
    + """\
class Foreach(Optimizer):
    def __init__(self, params, lr=1e-3, b1=0.9, b2=0.99):
        super().__init__(params, dict(lr=lr, b1=b1, b2=b2))
        self.t = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.t += 1
        for group in self.param_groups:
            ps = [p for p in group["params"] if p.grad is not None]
            gs = [p.grad for p in ps]
            for p in ps:
                if not self.state[p]:
                    self.state[p]["m"] = torch.zeros_like(p)
                    self.state[p]["v"] = torch.zeros_like(p)
            ms = [self.state[p]["m"] for p in ps]
            vs = [self.state[p]["v"] for p in ps]
            torch._foreach_lerp_(ms, gs, 1 - group["b1"])
            torch._foreach_mul_(vs, group["b2"])
            torch._foreach_addcmul_(vs, gs, gs, 1 - group["b2"])
            roots = torch._foreach_div(vs, 1 - group["b2"] ** self.t)
            torch._foreach_sqrt_(roots)
            torch._foreach_add_(roots, 1e-8)
            rate = group["lr"] / (1 - group["b1"] ** self.t)
            torch._foreach_addcdiv_(ps, ms, roots, -rate)
""",
    "average put in place": _HEAD
    + """\
class Averaging(Optimizer):
    def __init__(self, params, lr=1e-2, every=5):
        super().__init__(params, dict(lr=lr, every=every))
        self.n = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.n += 1
        for group in self.param_groups:
            for p in (q for q in group["params"] if q.grad is not None):
                p.add_(p.grad, alpha=-group["lr"])
                s = self.state[p]
                if "mean" not in s:
                    s["mean"], s["count"] = p.detach().clone(), 1
                else:
                    s["count"] += 1
                    s["mean"].add_(p - s["mean"], alpha=1 / s["count"])
                if self.n % group["every"] == 0:
                    p.copy_(s["mean"])
                    s["count"] = 1
""",
    "skips bad steps": _HEAD
    + """\
class Skipping(Optimizer):
    def __init__(self, params, lr=1e-2, most=20.0):
        super().__init__(params, dict(lr=lr, most=most))
        self.skipped = 0
        self.usual = None

    @torch.no_grad()
    def step(self, closure=None):
        grads = [p.grad for g in self.param_groups for p in g["params"]
                 if p.grad is not None]
        norm = torch.stack([g.norm() for g in grads]).norm().item()
        if not math.isfinite(norm) or norm > self.param_groups[0]["most"]:
            self.skipped += 1
            return None
        self.usual = norm if self.usual is None else 0.9 * self.usual + 0.1 * norm
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad, alpha=group["lr"] / (1 + self.usual))
""",
}
