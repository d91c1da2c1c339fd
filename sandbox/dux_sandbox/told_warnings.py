"""Warnings that were shown once stay shown once, whoever silences others meanwhile.

Python forgets, in the whole process, which warnings a place has given as soon as
anybody enters or leaves `warnings.catch_warnings`: those of a training loop would be
shown again after every decision.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_CHANGES = 3  # to the filters by one look: in, "ignore", out


@contextmanager
def told_warnings_kept() -> Iterator[None]:
    """What was shown before or in here is not shown again, if the filters stay."""
    before, filters = _look() - _CHANGES, list(warnings.filters)
    try:
        yield
    finally:
        if warnings.filters == filters:
            _carry(before, _look())


@contextmanager
def no_warnings() -> Iterator[None]:
    """No warnings in here; the filters are the process's: one thread at a time."""
    with told_warnings_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _look() -> int:
    """The number of the filters as this look leaves them."""
    registry: dict[Any, int] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.warn_explicit("a look", UserWarning, "", 0, registry=registry)
    return registry["version"] + 1


def _carry(first: int, now: int) -> None:
    """What was told under the filters since the `first` counts under those of now."""
    for registry in (*_registries(), getattr(warnings, "onceregistry", {})):
        if first <= registry.get("version", -1) < now:
            registry["version"] = now


def _registries() -> Iterator[dict[Any, int]]:
    """What each module has told. One that is to be loaded at first use stays unused."""
    for module in list(sys.modules.values()):
        try:
            names = object.__getattribute__(module, "__dict__")
        except AttributeError:  # anything may stand there
            continue
        if "__warningregistry__" in names:
            yield names["__warningregistry__"]
