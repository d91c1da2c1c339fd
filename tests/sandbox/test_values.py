"""Values cross between processes as JSON and bytes, or not at all."""

import json
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from dux_sandbox.values import DTYPES, Decoder, ValueRefused, encode

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def through_json(value):
    blobs = []
    described = json.loads(json.dumps(encode(value, blobs)))
    decoder = Decoder(bytearray(b"".join(bytes(blob) for blob in blobs)))
    back = decoder.decode(described)
    decoder.finish()
    return back


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_plain_values_come_back_equal_and_of_the_same_type(value):
    back = through_json(value)

    assert value == back
    assert type(value) is type(back)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)])
def test_tensors_come_back_bit_for_bit(dtype, shape):
    tensor = (torch.randn(shape) * 3).to(DTYPES[dtype])

    back = through_json({"w": tensor, "n": 1})["w"]

    assert back.dtype == tensor.dtype
    assert torch.equal(tensor, back)


def test_a_transposed_tensor_comes_back_with_its_values():
    tensor = torch.arange(6.0).reshape(2, 3).t()

    assert torch.equal(tensor, through_json(tensor))


def test_infinities_and_nan_come_back():
    assert math.inf == through_json(math.inf)
    assert math.isnan(through_json(math.nan))


@pytest.mark.parametrize("value", [object(), len, {"f": print}, torch.nn.Linear(1, 1)])
def test_what_is_not_plain_is_refused(value):
    with pytest.raises(ValueRefused, match="cannot leave"):
        encode(value, [])


def test_deep_nesting_is_refused_on_both_sides():
    deep = []
    described = {"list": []}
    for _ in range(20):
        deep = [deep]
        described = {"list": [described]}

    with pytest.raises(ValueRefused, match="nested"):
        encode(deep, [])
    with pytest.raises(ValueRefused, match="nested"):
        Decoder(bytearray()).decode(described)


@pytest.mark.parametrize(
    "described",
    [
        {"tensor": ["float32", [1 << 40]]},
        {"tensor": ["float32", [-1]]},
        {"tensor": ["object", [1]]},
        {"tensor": ["float32", "ab"]},
        {"tensor": 3},
        {"tensor": ["float32", [2, 1], [0, 0]]},
        {"tensor": ["float32", [2, 1], [0]]},
        {"tensor": ["float32", [2, 1], [1, True]]},
        {"tensor": ["float32", [2, 1], "10"]},
        {"tensor": ["float32", [2, 1], [1, 0], [1, 0]]},
        {"pickle": "gASVAAAA"},
        {"list": 3},
        {"dict": [[1]]},
        {"dict": [[{"list": []}, 1]]},
        {"float": "1e5"},
        {"int": "zz"},
        {"int": "9" * 10_000},
        {"a": 1, "b": 2},
        [1],
    ],
)
def test_malformed_descriptions_are_refused(described):
    with pytest.raises(ValueRefused):
        Decoder(bytearray(16)).decode(described)


def test_left_over_bytes_are_refused():
    decoder = Decoder(bytearray(4))
    decoder.decode({"list": []})

    with pytest.raises(ValueRefused, match="left over"):
        decoder.finish()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, device="meta"),
        torch.zeros(2).to_sparse(),
        torch.zeros(1).expand(9),
        torch.zeros(2, dtype=torch.uint16),
    ],
    ids=["meta", "sparse", "expanded", "dtype"],
)
def test_what_cannot_be_encoded_cannot_be_described_either(tensor):
    with pytest.raises(ValueRefused):
        encode({"m": tensor}, [])
    with pytest.raises(ValueRefused):
        encode({"m": tensor}, None)


def test_a_description_without_bytes_is_the_same_description():
    value = {"m": [torch.arange(3.0), (1, frozenset([2]))]}
    blobs: list = []

    assert encode(value, blobs) == encode(value, None)
    assert 1 == len(blobs)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).reshape(2, 3).t(),
        torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=torch.channels_last),
        torch.arange(12).reshape(3, 4)[:, ::2],
        torch.arange(6.0).reshape(1, 2, 3).permute(2, 0, 1),
    ],
)
def test_a_tensor_comes_back_in_the_order_in_which_it_lay(tensor):
    blobs = []

    described = encode({"m": tensor}, blobs)
    found = Decoder(bytearray(b"".join(blobs))).decode(described)["m"]

    assert torch.equal(tensor, found)
    assert torch.empty_like(tensor).stride() == torch.empty_like(found).stride()
    assert not found._is_view()


def test_what_lies_in_a_weight_that_was_written_since_is_described():
    weight = torch.nn.Parameter(torch.arange(6.0))
    with torch.no_grad():
        kept = weight[::2]
    weight.requires_grad_(False).add_(2).requires_grad_(True)
    blobs = []

    described = encode(kept, blobs)

    found = Decoder(bytearray(b"".join(blobs))).decode(described)
    assert [2.0, 4.0, 6.0] == found.tolist()
