"""Waiting for what happens soon, without saying how soon."""

import time
from contextlib import suppress
from pathlib import Path

# Only there to end a test that would hang: no machine, however busy, comes near it.
_FOR_EVER = 280.0


def wait_until(condition):
    """Return once `condition()` is true."""
    end = time.monotonic() + _FOR_EVER
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def alive(pid):
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def children_of(pid):
    """The processes that a process has made and not yet buried, as Linux says."""
    found = []
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):  # it ended between the listing and the reading
            found += [int(each) for each in listed.read_text().split()]
    return found
