"""How shapes go together, without what torch imports to say it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def broadcast_shape(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that these are broadcast to, as `torch.broadcast_shapes` has it.

    That function imports torch's symbolic shapes at its first use, which a process
    that may open no file cannot.

    Raises:
        RuntimeError: they do not go together.

    >>> broadcast_shape((3, 1), (4,), ())
    (3, 4)
    """
    sizes = []
    for column in itertools.zip_longest(*map(reversed, shapes), fillvalue=1):
        wanted = {size for size in column if size != 1}
        if len(wanted) > 1:
            raise RuntimeError(
                f"shapes {', '.join(str(tuple(each)) for each in shapes)} do not go "
                f"together"
            )
        sizes.append(wanted.pop() if wanted else 1)
    return tuple(reversed(sizes))
