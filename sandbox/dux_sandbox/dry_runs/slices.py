"""Work in slices: a generator that stops where something else may go on.

It yields whether the next slice is unlike the last, so that nothing is to be concluded
from how long that took.
"""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing
from functools import wraps
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Slices = Generator[bool, None, Result]
ALIKE, UNLIKE = False, True


def within(
    context: Callable[[], AbstractContextManager[object]], work: Slices[Result]
) -> Slices[Result]:
    """The same work, each slice of it in a context of its own."""
    with closing(work):
        while True:
            with context():
                try:
                    unlike = next(work)
                except StopIteration as end:
                    result: Result = end.value
                    return result
            yield unlike


def result_of(work: Slices[Result]) -> Result:
    """Do all slices, one after the other."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: Result = end.value
            return result


def at_once(
    in_slices: Callable[Arguments, Slices[Result]],
) -> Callable[Arguments, Result]:
    """The function that does all slices of another one."""

    @wraps(in_slices)
    def whole(*given: Arguments.args, **named: Arguments.kwargs) -> Result:
        return result_of(in_slices(*given, **named))

    return whole
