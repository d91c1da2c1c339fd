"""No allowed function of torch crashes, whatever a rule gives it."""

from __future__ import annotations

import os

import pytest

from tests import native_fuzz
from tests.forked import outcome

SAMPLE = 2
MANY = 150


def crashes(name: str, count: int) -> list[str]:
    """The calls of one name that end their process, each with its arguments."""
    found = []
    first = 0
    while first < count and len(found) < 3:
        read, write = os.pipe()

        def play(first: int = first, write: int = write) -> None:
            for number in range(first, count):
                os.write(write, number.to_bytes(4, "big"))
                native_fuzz.call(name, number)

        end = outcome(play)
        os.close(write)
        with os.fdopen(read, "rb") as told:
            reached = told.read()
        if not end.startswith("SIG"):
            break
        number = int.from_bytes(reached[-4:], "big")
        found.append(f"{end}: {native_fuzz.call(name, number, show=True)}")
        first = number + 1
    return found


@pytest.mark.parametrize("name", native_fuzz.names()[::7])
def test_a_few_calls_do_not_crash(name: str) -> None:
    assert [] == crashes(name, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", native_fuzz.names())
def test_many_calls_do_not_crash(name: str) -> None:
    assert [] == crashes(name, MANY)
