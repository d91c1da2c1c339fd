"""What the base optimizer has beyond torch's own, asked of the live optimizer.

Schedule-free optimizers have `train` and `eval`, SAM has `first_step` and
`second_step`, many have attributes. They are the base's while it is live.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from dux_agent.live.rule_slot import RuleSlot

# A rule has one way of being; the base is told when it is live again.
MODES = ("train", "eval")
_NONE = object()


def reached(live: RuleSlot, name: str, note: Callable[[str], None]) -> Any:
    """An attribute of the base optimizer by its name.

    Args:
        note: called with the name of a mode that the loop asks for while a rule is
            live.

    Raises:
        AttributeError: the base has none, or it is a method and a rule is live.
    """
    base = live.base
    value = _NONE if name.startswith("__") else getattr(base, name, _NONE)
    if value is _NONE:
        raise AttributeError(
            f"'{type(live).__name__}' object has no attribute {name!r}, nor has the "
            f"{type(base).__name__} behind it"
        )
    if live.running is live.base_rule or not callable(value):
        return value
    if name in MODES:
        return partial(note, name)
    raise AttributeError(
        f"{name!r} is a method of {type(base).__name__}, the base optimizer, and a "
        f"generated rule is live ({(live.running.digest or '')[:12]}): it would work "
        f"on weights with a state that is not theirs; ask hasattr(optimizer, "
        f"{name!r}) first, or do without decisions in a loop that cannot."
    )
