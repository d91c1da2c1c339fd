"""What is said of an exception that left generated code."""

import pytest

from dux_sandbox.faults import failure

CURES = {
    NotImplementedError: "write what is left open there",
    ValueError: "make the step hold",
}


@pytest.mark.parametrize("kind", CURES)
def test_a_cure_is_of_the_kind_of_what_was_raised(kind):
    found = failure(kind("yours")).finding

    assert f"{kind.__name__}: yours" == found.message
    assert found.instead.startswith(CURES[kind])
