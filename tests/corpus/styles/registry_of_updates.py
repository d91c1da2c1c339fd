import functools
import torch

UPDATES = {}


def register(name):
    def wrap(fn):
        @functools.wraps(fn)
        def inner(*args, **kwargs):
            return fn(*args, **kwargs)
        UPDATES[name] = inner
        return inner
    return wrap


@register("momentum")
def momentum_update(g, state, *, beta=0.9, **_):
    m = state.setdefault("m", torch.zeros_like(g))
    return m.mul_(beta).add_(g, alpha=1 - beta)


@register("rms")
def rms_update(g, state, *, beta=0.99, eps=1e-8, **_):
    v = state.setdefault("v", torch.zeros_like(g))
    v.mul_(beta).addcmul_(g, g, value=1 - beta)
    return g / (v.sqrt() + eps)


class Chain:
    def __init__(self, *names):
        self.fns = [UPDATES[n] for n in names]

    def __call__(self, g, state, **kw):
        return functools.reduce(lambda acc, fn: fn(acc, state, **kw), self.fns, g)


class Chained(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, chain=("rms", "momentum")):
        super().__init__(params, dict(lr=lr))
        self.chain = Chain(*chain)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for p in (q for q in group["params"] if q.grad is not None):
                p.sub_(self.chain(p.grad, self.state[p]), alpha=group["lr"])
        return loss
