"""A rule's attributes survive as text and tensors."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dux_agent.live.plain_data import decode_each, encode_each
from dux_sandbox.values import ValueRefused

leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
)
keys = st.text() | st.integers() | st.tuples(st.integers(), st.text())
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.sets(st.integers())
    ),
    max_leaves=20,
)


def through_text(value):
    tensors = []
    kept, dropped = encode_each({"it": value}, tensors)
    assert [] == dropped
    return decode_each(json.loads(json.dumps(kept)), tensors)["it"]


@given(values)
def test_plain_values_come_back_as_they_were(value):
    found = through_text(value)

    assert value == found
    assert type(value) is type(found)


def test_tensors_dtypes_and_devices_come_back():
    value = {
        "m": [torch.arange(3)],
        "d": torch.bfloat16,
        "w": torch.device("cpu"),
        "c": 1 + 2j,
        "n": math.inf,
    }

    found = through_text(value)

    assert torch.equal(value.pop("m")[0], found.pop("m")[0])
    assert value == found


def test_what_is_no_plain_data_is_left_out():
    loop = []
    loop.append(loop)
    given = {"t": 3, "f": print, "o": object(), "l": [torch.ones(1), loop]}
    tensors = []

    kept, dropped = encode_each(given, tensors)

    assert ({"t": 3}, ["f", "o", "l"], []) == (kept, dropped, tensors)


def test_what_version_0_1_wrote_is_read():
    text = (
        '{"~dict": [["betas", {"~tuple": [0.9, NaN]}], ["n", [1, [{"~tensor": 0}]]],'
        ' [{"~size": [2]}, {"~set": [3]}], ["b", {"~bytes": "AAE="}],'
        ' ["d", {"~dtype": "float8_e5m2"}], ["i", 36893488147419103232]]}'
    )
    weights = torch.ones(2)

    found = decode_each({"it": json.loads(text)}, [weights])["it"]

    assert (0.9, True) == (found["betas"][0], math.isnan(found["betas"][1]))
    assert found["n"][1][0] is weights
    assert ({3}, b"\0\1") == (found[torch.Size([2])], found["b"])
    assert (torch.float8_e5m2, 2**65) == (found["d"], found["i"])


@pytest.mark.parametrize(
    "text",
    [
        '{"tensor": 0}',
        '{"~tensor": -1}',
        '{"dtype": "nn"}',
        '{"what": []}',
        '{"a": 1, "b": 2}',
        '{"tuple": 3}',
        '{"bytes": 3}',
    ],
)
def test_text_that_nobody_wrote_is_refused(text):
    with pytest.raises(ValueRefused):
        decode_each({"it": json.loads(text)}, [])
