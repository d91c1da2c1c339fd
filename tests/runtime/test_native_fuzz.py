"""No allowed function of torch crashes, whatever a rule gives it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import native_fuzz

SAMPLE = 2
MANY = 150


class Home:
    """A process of its own for the calls, where the ends of results are watched.

    glibc's debugging malloc puts a byte behind each piece of memory, and ends the
    process where that is another when the memory is given back.
    """

    def __init__(self) -> None:
        watched = {
            "LD_PRELOAD": "libc_malloc_debug.so.0",
            "GLIBC_TUNABLES": "glibc.malloc.check=3",
        }
        path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.native_fuzz_home"],
            env={**os.environ, **path, **watched},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what malloc says of each of its findings
            text=True,
        )

    def crashes(self, name: str, count: int) -> list[str]:
        """The calls of one name that end their process, each with its arguments."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, count]) + "\n")
        self._process.stdin.flush()
        found: list[str] = json.loads(self._process.stdout.readline())
        return found

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _watches() -> bool:
    try:
        ctypes.CDLL("libc_malloc_debug.so.0")
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    made = Home()
    yield made
    made.close()


@pytest.mark.parametrize("name", native_fuzz.NAMES[::7])
def test_a_few_calls_do_not_crash(home: Home, name: str) -> None:
    assert [] == home.crashes(name, SAMPLE)


@pytest.mark.slow
@pytest.mark.parametrize("name", native_fuzz.NAMES)
def test_many_calls_do_not_crash(home: Home, name: str) -> None:
    assert [] == home.crashes(name, MANY)


@pytest.mark.skipif(not _watches(), reason="glibc's debugging malloc is not here")
def test_a_result_that_is_overrun_by_a_byte_is_seen(home: Home) -> None:
    (found,) = home.crashes("overrun", 1)

    assert found.startswith("SIGABRT")
