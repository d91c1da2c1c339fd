"""Every optimizer of the zoo beside one that somebody else wrote, or a formula."""

import numpy as np
import pytest
import torch
from torch import optim

from dux_sandbox.zoo import entries, entry
from tests.rule_sources import unguarded
from tests.zoo.by_hand import STEPS
from tests.zoo.problems import MATRICES, SHAPES, weights_after

TORCH = {
    "sgd": ({"weight_decay": 0.01}, lambda p: optim.SGD(p, 1e-2, 0.9, 0, 0.01)),
    "nesterov": ({}, lambda p: optim.SGD(p, 1e-2, 0.9, nesterov=True)),
    "adagrad": ({}, optim.Adagrad),
    "rmsprop": ({}, lambda p: optim.RMSprop(p, 1e-3, momentum=0.9)),
    "adam": ({"weight_decay": 0.01}, lambda p: optim.Adam(p, weight_decay=0.01)),
    "adamw": ({}, optim.AdamW),
    "nadam": ({}, optim.NAdam),
    "radam": ({}, optim.RAdam),
    "amsgrad": ({}, lambda p: optim.Adam(p, amsgrad=True)),
    "adafactor": (
        {"weight_decay": 0.01},
        lambda p: optim.Adafactor(p, weight_decay=0.01),
    ),
    "muon": ({}, lambda p: optim.Muon(p)),
}
DECAY = {"weight_decay": 0.01}
# name -> (options here, its class there, options there)
OTHERS = {
    "lars": (DECAY, "LARS", DECAY | {"lr": 1.0}),
    "lion": (DECAY, "Lion", DECAY),
    "tiger": ({}, "Tiger", {}),
    "adan": (DECAY, "Adan", DECAY),
    "ademamix": (DECAY, "AdEMAMix", DECAY | {"weight_decouple": True}),
    "mars": (DECAY, "MARS", DECAY | {"optimize_1d": True}),
    "prodigy": (DECAY, "Prodigy", DECAY),
    "dadapt_adam": (DECAY, "DAdaptAdam", DECAY | {"weight_decouple": True}),
    "schedule_free_sgd": ({"lr": 0.05}, "ScheduleFreeSGD", {"lr": 0.05}),
    "schedule_free_adamw": (DECAY, "ScheduleFreeAdamW", DECAY),
    "shampoo": ({}, "Shampoo", {}),
    "soap": ({}, "SOAP", {}),
    "normuon": ({}, "NorMuon", {}),
}
ONLY_MATRICES = {"muon", "normuon"}


def _near(ours, theirs):
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", TORCH)
def test_two_hundred_steps_are_those_of_torch(name):
    options, theirs = TORCH[name]
    shapes = MATRICES if name in ONLY_MATRICES else SHAPES

    ours = weights_after(
        200, lambda p: unguarded(entry(name).source)(p, **options), shapes
    )

    _near(ours, weights_after(200, theirs, shapes))


@pytest.mark.parametrize("name", OTHERS)
def test_two_hundred_steps_are_those_of_pytorch_optimizer(name):
    package = pytest.importorskip("pytorch_optimizer")
    options, theirs, their_options = OTHERS[name]
    shapes = MATRICES if name in ONLY_MATRICES else SHAPES

    def reference(parameters):
        if name == "normuon":
            parameters = [{"params": parameters, "use_muon": True}]
        return getattr(package, theirs)(parameters, **their_options)

    ours = weights_after(
        200, lambda p: unguarded(entry(name).source)(p, **options), shapes
    )

    _near(ours, weights_after(200, reference, shapes))


@pytest.mark.parametrize("name", STEPS)
def test_two_hundred_steps_are_those_of_the_formula(name):
    step, options = STEPS[name]
    shape = (12, 20)  # 240 weights: more than a block of 128

    class Reference(optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})
            self.memory, self.number = {}, 0

        def step(self):
            [p] = self.param_groups[0]["params"]
            self.number += 1
            grad = p.grad.numpy()
            new = step(p.detach().numpy().copy(), grad, self.memory, self.number)
            with torch.no_grad():
                p.copy_(torch.from_numpy(np.asarray(new)))

    made = weights_after(
        200, lambda p: unguarded(entry(name).source)(p, **options), [shape]
    )

    _near(made, weights_after(200, Reference, [shape]))


def test_a_walk_without_noise_is_the_one_worked_out_by_hand():
    # f(w) = w^2 / 2, two steps of the walk from w = 1 at rate 0.1, gamma 0.5:
    # x = 1 - 0.1 (1 - 0.5 (1 - 1)) = 0.9; mean = 0.25 * 1 + 0.75 * 0.9 = 0.925
    # x = 0.9 - 0.1 (0.9 - 0.5 (1 - 0.9)) = 0.815; mean = 0.25 * 0.925 + 0.75 * 0.815
    # w = 1 - 0.5 (1 - 0.8425) = 0.92125
    w = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    rule = unguarded(entry("entropy_sgd").source)
    optimizer = rule([w], lr=0.5, walk=2, rate=0.1, gamma=0.5, noise=0.0)

    def closure():
        optimizer.zero_grad()
        loss = (w**2).sum() / 2
        loss.backward()
        return loss

    loss = optimizer.step(closure)

    assert loss.item() == 0.5
    assert w.item() == pytest.approx(0.92125, abs=1e-12)


def test_the_factors_of_psgd_whiten_what_they_have_seen():
    # Gradients A Z of a Z without structure: after Q^T Q the covariance of the rows is
    # a multiple of one.
    generator = torch.Generator().manual_seed(0)
    skew = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5], dtype=torch.float64))
    w = torch.nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    optimizer = unguarded(entry("psgd").source)([w], momentum=0.0, step=0.05)
    for _ in range(1500):
        drawn = torch.randn(4, 6, generator=generator, dtype=torch.float64)
        w.grad = skew @ drawn
        optimizer.step()
    left = optimizer.state[w]["left"]

    whitened = left.T @ left @ skew
    covariance = whitened @ whitened.T

    sizes = torch.linalg.eigvalsh(covariance)
    assert (sizes.max() / sizes.min()).item() < 1.6  # 64 before


def test_every_optimizer_has_something_to_be_compared_with():
    compared = {*TORCH, *OTHERS, *STEPS, "entropy_sgd"}

    assert compared == set(entries())


def test_the_basis_of_soap_is_found_where_single_precision_finds_none(monkeypatch):
    # As of the gradients of an embedding most of whose rows were not read.
    found = torch.linalg.eigh

    def strict(matrix):
        if matrix.dtype != torch.float64:
            raise torch.linalg.LinAlgError("failed to converge")
        return found(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", strict)

    moved = weights_after(3, unguarded(entry("soap").source), MATRICES)

    assert all(bool(torch.isfinite(each).all()) for each in moved)
