"""What the offline rules decided: the hyperparameters of one optimizer, and why."""

from dataclasses import dataclass

FAMILIES = ("sgd", "rmsprop", "adam", "adamw", "lion", "muon")


@dataclass(frozen=True)
class Plan:
    """One optimizer to write. Rates are per step; shares are fractions of the rate.

    Attributes:
        family: the update formula, one of FAMILIES; "muon" orthogonalises hidden
            matrices and gives every other parameter an Adam step.
        lr: highest learning rate.
        adam_lr: highest rate of the Adam part of "muon".
        momentum: of SGD and Muon; beta1 of the others.
        beta2: decay of the second moment; of Lion, of its momentum.
        weight_decay: decoupled, on tensors of two or more dimensions, per unit of
            the current rate.
        clip: longest gradient, as a norm over all parameters; None: no clipping.
        warmup: steps until the rate is at its highest.
        hold: steps before the rate begins to fall.
        total: step at which the rate has reached `final` times its highest value.
        final: share of the rate from step `total` on.
        average: number of steps before `total` whose weights are averaged; the mean
            replaces the weights at step `total`. 0: none.
        begun: it keeps the weights that it began with.
        halfway: at step `total` the weights go half of the way back to those.
        back: over `total` steps the weights go back to those with which the rule before
            began, which has kept them.
        plain_shapes: shapes that "muon" gives Adam steps (embeddings, the head).
        numbers: what the numbers say, one sentence each.
        changes: what is changed and why, one sentence each.
    """

    family: str
    lr: float
    adam_lr: float = 0.0
    momentum: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0
    clip: float | None = None
    warmup: int = 1
    hold: int = 0
    total: int = 1
    final: float = 1.0
    average: int = 0
    begun: bool = False
    halfway: bool = False
    back: bool = False
    plain_shapes: tuple[tuple[int, ...], ...] = ()
    numbers: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
