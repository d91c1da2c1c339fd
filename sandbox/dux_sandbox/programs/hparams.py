"""HPARAMS, the numbers that our training loop takes of a program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LOSSES = {False: ("mse", "mae", "huber"), True: ("cross_entropy",)}
"""Names of losses: of numbers, and of classes. The first is the default."""

SCHEDULES = ("constant", "cosine", "linear", "onecycle")
NAMES = ("epochs", "batch_size", "loss", "clip", "schedule")
_MOST = 1_000_000


@dataclass(frozen=True)
class Hparams:
    """What our loop is told.

    Attributes:
        epochs: passes over the training rows.
        batch_size: rows of one step.
        loss: a name in `LOSSES`; None: the first for the kind of targets.
        clip: the largest norm of all gradients together; None: any.
        schedule: a name in `SCHEDULES`: what becomes of the learning rate by step.
    """

    epochs: int = 20
    batch_size: int = 64
    loss: str | None = None
    clip: float | None = None
    schedule: str | None = None

    @classmethod
    def of(cls, held: Any, classes: bool) -> Hparams:
        """The entries of a program's HPARAMS that are ours.

        Raises:
            ValueError: one cannot be meant.
        """
        found = problems(held)
        if not found:
            mine = cls(**{name: held[name] for name in NAMES if name in held})
            if mine.loss is None or mine.loss in LOSSES[classes]:
                return mine
            kind = "classes" if classes else "numbers"
            found = [
                f"HPARAMS['loss'] is {mine.loss!r} and the targets are {kind}; "
                f"one of {', '.join(LOSSES[classes])} was wanted"
            ]
        raise ValueError(found[0])


def problems(held: Any) -> list[str]:
    """What is wrong with HPARAMS, whatever the targets are; one sentence each."""
    if not isinstance(held, Mapping):
        return [f"HPARAMS is a {type(held).__name__}; a dict was wanted"]
    losses = [name for names in LOSSES.values() for name in names]
    wanted = {
        "epochs": (_is_count, "a whole number of at least 1"),
        "batch_size": (_is_count, "a whole number of at least 1"),
        "loss": (lambda v: v is None or v in losses, f"one of {', '.join(losses)}"),
        "clip": (_is_bound, "a number above 0, or None"),
        "schedule": (
            lambda value: value is None or value in SCHEDULES,
            f"one of {', '.join(SCHEDULES)}, or None",
        ),
    }
    return [
        f"HPARAMS[{name!r}] is {held[name]!r:.60}; {words} was wanted"
        for name, (sound, words) in wanted.items()
        if name in held and not sound(held[name])
    ]


def _is_count(value: Any) -> bool:
    return type(value) is int and 1 <= value <= _MOST


def _is_bound(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 < value < float("inf"))
