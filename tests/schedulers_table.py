"""Every learning rate scheduler of torch and of transformers, ready to be made.

Each is `(make, step)`: `make(optimizer)` over two groups; `step(scheduler, at)` is what
a loop does after its step number `at`.
"""

import warnings

import torch
from torch.optim import lr_scheduler as of
from torch.optim.swa_utils import SWALR


def plainly(scheduler, at):
    scheduler.step()


def with_a_loss(scheduler, at):
    """A metric that falls, then stands, so that the rate is raised and lowered."""
    scheduler.step(max(1.0 - 0.1 * at, 0.55))


def rarely(scheduler, at):
    if at % 3 == 2:
        scheduler.step()


def twice(scheduler, at):
    scheduler.step()
    scheduler.step()


def by_epoch(scheduler, at):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch wants no epochs any more
        scheduler.step(at // 2)


def sequential(optimizer):
    return of.SequentialLR(
        optimizer,
        [
            of.LinearLR(optimizer, 0.1, 1.0, 5),
            of.CosineAnnealingLR(optimizer, 9, eta_min=1e-4),
            of.LambdaLR(optimizer, lambda step: 0.5 / (1 + step)),
        ],
        [5, 14],
    )


def chained(optimizer):
    return of.ChainedScheduler(
        [of.ConstantLR(optimizer, 0.1, 4), of.ExponentialLR(optimizer, 0.9)]
    )


TORCH = {
    "LambdaLR": (lambda o: of.LambdaLR(o, lambda s: 0.95**s), plainly),
    "LambdaLR, constant": (lambda o: of.LambdaLR(o, lambda s: 1.0), plainly),
    "LambdaLR, one a group": (
        lambda o: of.LambdaLR(o, [lambda s: 0.9**s, lambda s: 1 / (1 + s)]),
        plainly,
    ),
    "LambdaLR, from zero": (lambda o: of.LambdaLR(o, lambda s: s / 10), plainly),
    "MultiplicativeLR": (lambda o: of.MultiplicativeLR(o, lambda s: 0.93), plainly),
    "StepLR": (lambda o: of.StepLR(o, 4, 0.3), plainly),
    "StepLR, rarely": (lambda o: of.StepLR(o, 2, 0.3), rarely),
    "StepLR, twice": (lambda o: of.StepLR(o, 6, 0.3), twice),
    "MultiStepLR": (lambda o: of.MultiStepLR(o, [2, 5, 6, 15], 0.4), plainly),
    "ConstantLR": (lambda o: of.ConstantLR(o, 0.25, 7), plainly),
    "LinearLR": (lambda o: of.LinearLR(o, 0.1, 0.8, 12), plainly),
    "ExponentialLR": (lambda o: of.ExponentialLR(o, 0.9), plainly),
    "ExponentialLR, twice": (lambda o: of.ExponentialLR(o, 0.97), twice),
    "SequentialLR": (sequential, plainly),
    "PolynomialLR": (lambda o: of.PolynomialLR(o, 40, 2.0), plainly),
    "CosineAnnealingLR": (lambda o: of.CosineAnnealingLR(o, 30), plainly),
    "CosineAnnealingLR, to a floor": (
        lambda o: of.CosineAnnealingLR(o, 7, eta_min=0.003),
        plainly,
    ),
    "CosineAnnealingLR, by epoch": (lambda o: of.CosineAnnealingLR(o, 30), by_epoch),
    "ChainedScheduler": (chained, plainly),
    "ReduceLROnPlateau": (
        lambda o: of.ReduceLROnPlateau(o, factor=0.5, patience=1, cooldown=1),
        with_a_loss,
    ),
    "ReduceLROnPlateau, to a floor": (
        lambda o: of.ReduceLROnPlateau(o, factor=0.5, patience=0, min_lr=0.02),
        with_a_loss,
    ),
    "CyclicLR": (
        lambda o: of.CyclicLR(o, [0.001, 0.002], [0.05, 0.09], step_size_up=4),
        plainly,
    ),
    "CyclicLR, halving": (
        lambda o: of.CyclicLR(o, 0.001, 0.05, step_size_up=3, mode="triangular2"),
        plainly,
    ),
    "CosineAnnealingWarmRestarts": (
        lambda o: of.CosineAnnealingWarmRestarts(o, 5, 2, eta_min=1e-4),
        plainly,
    ),
    "OneCycleLR": (lambda o: of.OneCycleLR(o, 0.05, total_steps=60), plainly),
    "OneCycleLR, three phases": (
        lambda o: of.OneCycleLR(
            o, [0.05, 0.02], total_steps=60, three_phase=True, cycle_momentum=False
        ),
        plainly,
    ),
    "SWALR": (lambda o: SWALR(o, 0.004, anneal_epochs=9), plainly),
}


def of_transformers():
    """The names that `transformers.get_scheduler` knows."""
    from transformers import get_scheduler

    special = {
        "cosine_with_min_lr": {"min_lr_rate": 0.1},
        "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
        "warmup_stable_decay": {"num_decay_steps": 10},
        "reduce_lr_on_plateau": {"factor": 0.5, "patience": 1},
        "greedy": {"factor": 0.5, "patience": 1, "min_lr": 1e-6},
    }

    def make(name):
        return lambda optimizer: get_scheduler(
            name,
            optimizer,
            num_warmup_steps=4,
            num_training_steps=40,
            scheduler_specific_kwargs=special.get(name),
        )

    metric = ("reduce_lr_on_plateau", "greedy")
    from transformers import SchedulerType

    return {
        kind.value: (
            make(kind.value),
            with_a_loss if kind.value in metric else plainly,
        )
        for kind in SchedulerType
    }


def two_groups(model, **options):
    """Stochastic gradient descent with layer-wise rates."""
    first, *others = model.parameters()
    return torch.optim.SGD(
        [{"params": [first], "lr": 0.1}, {"params": others, "lr": 0.02}],
        momentum=0.9,
        **options,
    )
