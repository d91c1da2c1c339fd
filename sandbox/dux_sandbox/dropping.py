"""The end of a rule that ran in this process: nothing of it runs afterwards.

Python runs the `finally` of a suspended generator whenever its last reference goes,
which may be long after the weights were put back. So a rule is taken apart at a
moment that the trainer chooses, before anything is restored.
"""

import gc
import logging
from types import AsyncGeneratorType, CoroutineType, FunctionType, GeneratorType
from typing import Any

import torch

from dux_sandbox.faults import is_the_rules
from dux_sandbox.loading import may_suspend, namespace_of

log = logging.getLogger(__name__)

_SUSPENDABLE = (GeneratorType, CoroutineType, AsyncGeneratorType)
_MOST_TRIES = 10
# One that goes on after it was told to end is held for ever: it runs when it is freed.
_never_freed: list[Any] = []


def drop(rule: torch.optim.Optimizer) -> None:
    """End everything of a generated rule that could still run, and let go of it.

    What its generators do on their way out happens in here, to live tensors and
    groups as well: put back what must be as it was afterwards.

    Args:
        rule: of a class that `load` made; useless afterwards.
    """
    namespace = namespace_of(type(rule))
    # The look at every object takes long in a large process; most rules need none.
    if may_suspend(type(rule)):
        for suspended in _suspended_in(namespace):
            _end(suspended)
    with torch.no_grad():
        vars(rule).clear()
        namespace.clear()


def _suspended_in(namespace: dict[str, Any]) -> list[Any]:
    """All generators of this namespace's code, wherever they are held.

    Asked for by what they hold. Whoever looks at all objects (`gc.get_objects`) holds
    the tuples that other threads have not finished, and Python ends those threads.
    """
    holders = gc.get_referrers(namespace)
    functions = [each for each in holders if type(each) is FunctionType]
    if not functions:
        return []
    users = gc.get_referrers(*functions)
    found = [each for each in users if type(each) in _SUSPENDABLE]
    # One of others may hold such a function, as it may hold anything.
    return [each for each in found if _globals_of(each) is namespace]


def _globals_of(suspended: Any) -> Any:
    """Those of its code; None where it has come to its end."""
    names = ("gi_frame", "cr_frame", "ag_frame")
    frames = (getattr(suspended, name, None) for name in names)
    return next((each.f_globals for each in frames if each is not None), None)


def _end(suspended: Any) -> None:
    for _ in range(_MOST_TRIES):
        try:
            suspended.close()
            return
        # The wall round generated code: it may raise anything on its way out.
        except BaseException as error:
            if not is_the_rules(error):
                raise
    log.warning("a generator of a dropped rule does not end; it is never freed")
    _never_freed.append(suspended)
