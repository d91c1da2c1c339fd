"""How a step is taken where several ranks train the same weights: by all alike."""

from collections.abc import Callable

from dux_sandbox.recorded.tape import Unrecordable

CANNOT, PLAIN, KERNELS = 0.0, 1.0, 2.0
"""Not recorded, in plain torch, by kernels."""
Agree = Callable[[float], float]
"""Is told how a step can be taken here, and gives the least of what all ranks can."""


class InPlainTorch(Exception):
    """Not all ranks have kernels for a step, so that none uses its own."""


def agreed(agree: Agree | None, here: float) -> None:
    """Let the ranks agree on how a step is taken.

    Args:
        agree: None: nobody else trains.
        here: how it can be taken on this rank.

    Raises:
        Unrecordable: one of the others cannot take it recorded.
        InPlainTorch: one of the others has no kernels for it.
    """
    how = here if agree is None else agree(here)
    if how == CANNOT:
        raise Unrecordable("cannot be recorded on another rank", None)
    if how < here:
        raise InPlainTorch
