"""Waiting for what happens soon, without saying how soon."""

import time

# Only there to end a test that would hang: no machine, however busy, comes near it.
_FOR_EVER = 120.0


def wait_until(condition):
    """Return once `condition()` is true."""
    end = time.monotonic() + _FOR_EVER
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
