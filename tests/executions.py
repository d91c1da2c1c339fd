"""Both places where a rule can run, for tests that hold in either."""

import sys

import pytest

both = pytest.mark.parametrize(
    "execution",
    [
        "inline",
        pytest.param(
            "isolated",
            marks=pytest.mark.skipif(
                sys.platform != "linux", reason="isolated rules need Linux"
            ),
        ),
    ],
)
