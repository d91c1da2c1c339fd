"""A rule's attributes survive as text and tensors."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dux_agent.live.plain_data import NotPlain, decode, encode, encode_each

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


@given(values)
def test_plain_values_come_back_as_they_were(value):
    text, tensors = encode(value)

    found = decode(text, tensors)

    assert value == found
    assert type(value) is type(found)


def test_tensors_dtypes_and_devices_come_back():
    value = {"m": [torch.arange(3)], "d": torch.bfloat16, "w": torch.device("cpu")}

    found = decode(*encode(value))

    assert torch.equal(value["m"][0], found["m"][0])
    assert (torch.bfloat16, torch.device("cpu")) == (found["d"], found["w"])


def test_what_is_no_plain_data_is_refused_or_left_out():
    loop = []
    loop.append(loop)
    for value in (print, object(), loop):
        with pytest.raises(NotPlain):
            encode(value)

    kept, dropped = encode_each({"t": 3, "f": print}, [])

    assert ({"t": 3}, ["f"]) == (kept, dropped)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"~tensor": 0}',
        '{"~dtype": "nn"}',
        '{"~what": []}',
        '{"a": 1}',
        '{"~tuple": 3}',
    ],
)
def test_text_that_nobody_wrote_is_refused(text):
    with pytest.raises(NotPlain):
        decode(text, [])
