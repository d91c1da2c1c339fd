"""Sound optimizers of the designs that a naive law accuses, one text each.

First steps that only measure, decay that depends on the direction, rates that act one
step late, weights that are averaged, gradients that are centred: written here after
the papers, small, and each keeps every law.
"""

_HEAD = '''\
import math

import torch


class Rule(torch.optim.Optimizer):
    """{what}"""

    def __init__(self, params, {arguments}):
        super().__init__(params, dict({options}))

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, p.grad, self.state[p], group)
        return loss

    def update(self, p, grad, state, group):
{body}'''


def _rule(what, arguments, body):
    options = ", ".join(f"{one.split('=')[0]}={one.split('=')[0]}" for one in arguments)
    lines = "\n".join(f"        {line}".rstrip() for line in body.strip().splitlines())
    return _HEAD.format(
        what=what, arguments=", ".join(arguments), options=options, body=lines + "\n"
    )


_ADAM = """\
if not state:
    state["step"] = 0
    state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
state["step"] += 1
state["m"].lerp_(grad, 1 - group["beta1"])
state["v"].mul_(group["beta2"]).addcmul_(grad, grad, value=1 - group["beta2"])
m = state["m"] / (1 - group["beta1"] ** state["step"])
v = state["v"] / (1 - group["beta2"] ** state["step"])
d = m / (v.sqrt() + 1e-8)
"""
_ADAMS = ("lr=1e-2", "beta1=0.9", "beta2=0.99")

DESIGNS = {
    "centred_direction": _rule(
        "Gradient centralization of the direction: nothing under a constant gradient.",
        _ADAMS,
        _ADAM
        + """\
if d.ndim > 1:
    d = d - d.mean(dim=tuple(range(1, d.ndim)), keepdim=True)
p.add_(d, alpha=-group["lr"])
""",
    ),
    "sharpness": '''\
import torch


class Rule(torch.optim.Optimizer):
    """SAM: clears the gradients and asks its closure for them at another place."""

    def __init__(self, params, lr=0.1, rho=0.05):
        super().__init__(params, dict(lr=lr, rho=rho))

    @torch.no_grad()
    def step(self, closure):
        closure = torch.enable_grad()(closure)
        held = []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    held.append((p, p.detach().clone(), group["lr"]))
                    far = group["rho"] / (p.grad.norm() + 1e-12)
                    p.add_(p.grad * far)
        self.zero_grad()
        loss = closure()
        for p, before, lr in held:
            p.copy_(before)
            p.sub_(p.grad, alpha=lr)
        return loss
''',
    "tiny_first_steps": _rule(
        "Steps that begin far below what a float32 can tell apart, and grow.",
        (*_ADAMS, "d0=1e-7"),
        _ADAM
        + """\
grown = min(1.0, group["d0"] * 1.5 ** (state["step"] - 1))
p.add_(d, alpha=-group["lr"] * grown)
""",
    ),
    "adopt": _rule(
        "ADOPT: the first step measures the second moment alone.",
        ("lr=1e-2", "beta1=0.9", "beta2=0.99", "eps=1e-6", "weight_decay=0.0"),
        """
if group["weight_decay"]:
    grad = grad + group["weight_decay"] * p
if "v" not in state:
    state["v"], state["m"] = grad * grad, torch.zeros_like(p)
    state["step"] = 0
    return
state["step"] += 1
bound = state["step"] ** 0.25
normed = (grad / state["v"].sqrt().clamp(min=group["eps"])).clamp(-bound, bound)
state["m"].lerp_(normed, 1 - group["beta1"])
p.add_(state["m"], alpha=-group["lr"])
state["v"].mul_(group["beta2"]).addcmul_(grad, grad, value=1 - group["beta2"])
""",
    ),
    "adopt_decoupled": _rule(
        "ADOPT with the decay beside the gradient, from the second step on.",
        ("lr=1e-2", "beta2=0.99", "weight_decay=0.01"),
        """
if "v" not in state:
    state["v"] = grad * grad
    return
p.mul_(1 - group["lr"] * group["weight_decay"])
p.addcdiv_(grad, state["v"].sqrt().clamp(min=1e-6), value=-group["lr"])
state["v"].mul_(group["beta2"]).addcmul_(grad, grad, value=1 - group["beta2"])
""",
    ),
    "gathers_twice": _rule(
        "It waits for three gradients before it goes anywhere.",
        ("lr=1e-2", "weight_decay=0.0"),
        """
state["seen"] = state.get("seen", 0) + 1
if "mean" not in state:
    state["mean"] = torch.zeros_like(p)
state["mean"].lerp_(grad, 1 / state["seen"] if state["seen"] < 8 else 0.125)
if state["seen"] > 2:
    p.mul_(1 - group["lr"] * group["weight_decay"])
    p.add_(state["mean"], alpha=-group["lr"])
""",
    ),
    "soap": _rule(
        "SOAP: Adam in the eigenbasis of two averages; the first step builds them.",
        (*_ADAMS, "weight_decay=0.01", "every=2"),
        """
two = grad.ndim == 2 and grad.numel() > 0
if not state:
    state["step"] = 0
    state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
    if two:
        g = grad.double()
        state["left"], state["right"] = (g @ g.T).to(p.dtype), (g.T @ g).to(p.dtype)
        state["ql"] = self.basis(state["left"])
        state["qr"] = self.basis(state["right"])
    return
state["step"] += 1
turned = state["ql"].T @ grad @ state["qr"] if two else grad
state["m"].lerp_(grad, 1 - group["beta1"])
mean = state["ql"].T @ state["m"] @ state["qr"] if two else state["m"]
state["v"].mul_(group["beta2"]).addcmul_(turned, turned, value=1 - group["beta2"])
size = group["lr"] * math.sqrt(1 - group["beta2"] ** state["step"])
size = size / (1 - group["beta1"] ** state["step"])
d = mean / (state["v"].sqrt() + 1e-8)
if two:
    d = state["ql"] @ d @ state["qr"].T
p.add_(d, alpha=-size)
p.mul_(1 - group["lr"] * group["weight_decay"])
if two:
    state["left"].lerp_(grad @ grad.T, 1 - group["beta2"])
    state["right"].lerp_(grad.T @ grad, 1 - group["beta2"])
    if state["step"] % group["every"] == 0:
        state["ql"].copy_(self.basis(state["left"]))
        state["qr"].copy_(self.basis(state["right"]))
""",
    )
    + """
    def basis(self, held):
        whole = held.double()
        whole = whole / whole.abs().max().clamp(min=1e-30)
        return torch.linalg.eigh(whole)[1].flip(-1).to(held.dtype)
""",
    "adamp": _rule(
        "AdamP: no radial part, and there decay is weaker.",
        (*_ADAMS, "weight_decay=0.01", "delta=0.1", "ratio=0.1"),
        _ADAM
        + """
ratio = 1.0
if p.ndim > 1 and p.numel():
    for rows in (p.shape[0], 1):
        w, g, u = (x.reshape(rows, -1) for x in (p, grad, d))
        length = w.norm(dim=1, keepdim=True) + 1e-8
        cosine = ((w * g).sum(1).abs() / (length[:, 0] * (g.norm(dim=1) + 1e-8))).max()
        if cosine < group["delta"] / math.sqrt(w.shape[1]):
            w = w / length
            d = (u - w * (w * u).sum(1, keepdim=True)).reshape(p.shape)
            ratio = group["ratio"]
            break
if group["weight_decay"]:
    p.mul_(1 - group["lr"] * group["weight_decay"] * ratio)
p.add_(d, alpha=-group["lr"])
""",
    ),
    "half_a_mean": _rule(
        "Half of the gradient, and the whole decay beside it.",
        ("lr=1e-2", "beta=0.5", "weight_decay=0.01"),
        """
if not state:
    state["m"] = torch.zeros_like(p)
state["m"].lerp_(grad, 1 - group["beta"])
p.sub_(group["lr"] * (state["m"] + group["weight_decay"] * p))
""",
    ),
    "cautious_decay": _rule(
        "Adam that decays where the update agrees with the weight.",
        (*_ADAMS, "weight_decay=0.01"),
        _ADAM
        + """
agree = (d * p >= 0).to(p.dtype)
p.sub_(group["lr"] * group["weight_decay"] * agree * p)
p.add_(d, alpha=-group["lr"])
""",
    ),
    "asgd": _rule(
        "ASGD: the rate of a step is worked out at the end of the one before.",
        ("lr=1e-2", "lambd=1e-4", "alpha=0.75", "weight_decay=0.0"),
        """
if not state:
    state["step"], state["eta"] = 0, float(group["lr"])
    state["mean"] = torch.zeros_like(p)
state["step"] += 1
if group["weight_decay"]:
    grad = grad + group["weight_decay"] * p
p.mul_(1 - group["lambd"] * state["eta"])
p.add_(grad, alpha=-state["eta"])
state["mean"].add_(p - state["mean"], alpha=1 / state["step"])
late = 1 + group["lambd"] * float(group["lr"]) * state["step"]
state["eta"] = float(group["lr"]) / late ** group["alpha"]
""",
    ),
    "lion": _rule(
        "Lion: signs of an interpolation.",
        ("lr=1e-2", "beta1=0.9", "beta2=0.99", "weight_decay=0.01"),
        """
if not state:
    state["m"] = torch.zeros_like(p)
p.mul_(1 - group["lr"] * group["weight_decay"])
d = state["m"].mul(group["beta1"]).add(grad, alpha=1 - group["beta1"])
p.add_(d.sign(), alpha=-group["lr"])
state["m"].lerp_(grad, 1 - group["beta2"])
""",
    ),
    "lookahead": _rule(
        "Lookahead round SGD: every third step goes half of the way from slow weights.",
        ("lr=1e-2", "momentum=0.9", "every=3", "slowness=0.5"),
        """
if not state:
    state["step"], state["m"] = 0, torch.zeros_like(p)
    state["slow"] = p.clone()
state["step"] += 1
state["m"].mul_(group["momentum"]).add_(grad)
p.add_(state["m"], alpha=-group["lr"])
if state["step"] % group["every"] == 0:
    state["slow"].lerp_(p, group["slowness"])
    p.copy_(state["slow"])
""",
    ),
    "schedule_free": _rule(
        "Schedule-free Adam: the gradient is taken between a mean and its sequence.",
        ("lr=1e-2", "beta1=0.9", "beta2=0.99", "weight_decay=0.0"),
        """
if not state:
    state["k"], state["weights"] = 0, 0.0
    state["z"], state["v"] = p.clone(), torch.zeros_like(p)
state["k"] += 1
state["v"].mul_(group["beta2"]).addcmul_(grad, grad, value=1 - group["beta2"])
v = state["v"] / (1 - group["beta2"] ** state["k"])
d = grad / (v.sqrt() + 1e-8) + group["weight_decay"] * p
state["weights"] += float(group["lr"]) ** 2
share = float(group["lr"]) ** 2 / state["weights"] if state["weights"] else 0.0
p.lerp_(state["z"], share)
p.add_(d, alpha=group["lr"] * (group["beta1"] * (1 - share) - 1))
state["z"].add_(d, alpha=-group["lr"])
""",
    ),
    "centred": _rule(
        "SGD on gradients without the mean of each row.",
        ("lr=1e-2", "momentum=0.9"),
        """
if grad.ndim > 1 and grad.numel():
    grad = grad - grad.mean(dim=tuple(range(1, grad.ndim)), keepdim=True)
if not state:
    state["m"] = torch.zeros_like(p)
state["m"].mul_(group["momentum"]).add_(grad)
p.add_(state["m"], alpha=-group["lr"])
""",
    ),
    "centred_whole": _rule(
        "SGD on gradients without their mean, by rows and columns alike.",
        ("lr=1e-2", "weight_decay=0.0"),
        """
if grad.numel():
    grad = grad - grad.mean()
p.add_(grad + group["weight_decay"] * p, alpha=-group["lr"])
""",
    ),
    "centred_columns": _rule(
        "SGD on gradients of matrices without the mean of each column.",
        ("lr=1e-2", "weight_decay=0.0"),
        """
if grad.ndim == 2 and grad.numel():
    grad = grad - grad.mean(dim=0, keepdim=True)
p.add_(grad + group["weight_decay"] * p, alpha=-group["lr"])
""",
    ),
    "gathers_four": _rule(
        "It moves at every fourth step, by the mean of four gradients.",
        ("lr=1e-2", "every=4", "weight_decay=0.01"),
        """
if not state:
    state["step"], state["sum"] = 0, torch.zeros_like(p)
state["step"] += 1
state["sum"].add_(grad)
if state["step"] % group["every"] == 0:
    p.mul_(1 - group["lr"] * group["weight_decay"])
    p.add_(state["sum"], alpha=-group["lr"] / group["every"])
    state["sum"].zero_()
""",
    ),
    "sgdp": _rule(
        "SGDP: momentum without its radial part, and there decay is weaker.",
        ("lr=1e-2", "momentum=0.9", "weight_decay=0.01", "ratio=0.1"),
        """
if not state:
    state["m"] = torch.zeros_like(p)
state["m"].mul_(group["momentum"]).add_(grad)
d, ratio = state["m"], 1.0
if p.ndim > 1 and p.numel():
    cosine = (p * grad).sum().abs() / (p.norm() * grad.norm() + 1e-8)
    if cosine < 0.1 / math.sqrt(p.numel()):
        unit = p / (p.norm() + 1e-8)
        d, ratio = d - unit * (unit * d).sum(), group["ratio"]
p.mul_(1 - group["lr"] * group["weight_decay"] * ratio / (1 - group["momentum"]))
p.add_(d, alpha=-group["lr"])
""",
    ),
    "warmed_up": _rule(
        "Adam whose first step has no length: a warm-up from zero.",
        (*_ADAMS, "warmup=4"),
        _ADAM
        + """
p.add_(d, alpha=-group["lr"] * min(1.0, (state["step"] - 1) / group["warmup"]))
""",
    ),
}

# By design they break one law each: the trait that says so -> the text without it.
BY_DESIGN = {
    "keeps-residual": _rule(
        "Signs with the error fed back, the rate folded into what is left over.",
        ("lr=1e-2",),
        """
if not state:
    state["left"] = torch.zeros_like(p)
wanted = group["lr"] * grad + state["left"]
sent = wanted.sign() * wanted.abs().mean() if p.numel() else wanted
state["left"].copy_(wanted - sent)
p.sub_(sent)
""",
    ),
    "averages-weights": _rule(
        "SGD that leans towards the mean of its past weights.",
        ("lr=1e-2", "pull=0.01"),
        """
if not state:
    state["step"], state["sum"] = 2, 2 * p
state["step"] += 1
p.add_(grad, alpha=-group["lr"])
state["sum"].add_(p)
p.lerp_(state["sum"] / state["step"], group["pull"])
""",
    ),
    "late-rate": _rule(
        "SGD whose rate is a mean over the last rates it was given.",
        ("lr=1e-2",),
        """
state.setdefault("rates", [float(group["lr"])] * 60)
state["rates"] = [*state["rates"][1:], float(group["lr"])]
p.add_(grad, alpha=-sum(state["rates"][:55]) / 55)
""",
    ),
}
