"""Makes calls in forks of a process without anything else: one line in, one out."""

from __future__ import annotations

import ctypes
import json
import os
import sys
import tempfile
from collections.abc import Callable
from typing import IO

import torch

from tests import native_fuzz
from tests.forked import outcome


def crashes(name: str, count: int) -> list[str]:
    """The calls of one name that end their process, each with its arguments."""
    found: list[str] = []
    first = 0
    while first < count and len(found) < 3:
        with tempfile.TemporaryFile() as told:

            def play(first: int = first, told: IO[bytes] = told) -> None:
                for number in range(first, count):
                    call(name, number, lambda said: os.write(told.fileno(), said))

            end = outcome(play)
            told.seek(0)
            lines = told.read().decode().splitlines()
        if not end.startswith("SIG"):
            break
        number = lines[-1].partition(":")[0]
        same = [line for line in lines if line.startswith(f"{number}:")]
        found.append(f"{end}: {'; '.join(same)}")
        first = int(number) + 1
    return found


def call(name: str, number: int, tell: Callable[[bytes], object]) -> None:
    """One call of a name, or the control."""
    if name != "overrun":
        native_fuzz.call(name, number, lambda said: tell(said.encode()))
        return
    tell(b"0: overrun\n")
    made = torch.empty(33)
    # What a kernel does that trusts a size. malloc keeps a mark behind what is asked
    # for, and follows another byte there as a length, into what the tensor holds by
    # chance; of 0, or of more than there is, it knows at once that it is none.
    behind = ctypes.c_ubyte.from_address(made.data_ptr() + 33 * made.itemsize)
    behind.value = 0 if behind.value else 0xFF


def main() -> None:
    """Serve until there is no more."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # LAPACK says what it thinks of its arguments, there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for line in sys.stdin:
        name, count = json.loads(line)
        answers.write(json.dumps(crashes(name, count)) + "\n")


if __name__ == "__main__":
    main()
