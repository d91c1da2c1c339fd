"""Programs that nobody recorded: of any operations, on anything."""

import random
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.json_form import ProgramRefused, as_json, program_of
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import Program, TensorType, TupleType
from dux_sandbox.recorded.random_operations import STATE
from dux_sandbox.recorded.verifying import Allowed, verify
from tests.recorded.programs import Writing

PLACES = {
    ("parameter", 0): TensorType("float32", (3, 4)),
    ("parameter", 1): TensorType("float64", (4,)),
    ("state", 0, "order"): TensorType("int64", (3,)),
    ("state", 0, "half"): TensorType("bfloat16", (3, 4)),
    ("state", 0, "mask"): TensorType("bool", (3, 4)),
    ("state", 0, "bytes"): STATE,
    ("state", 0, "square"): TensorType("float32", (4, 4)),
    ("option", 0, "lr"): "float",
    ("option", 0, "n"): "int",
}
MOST_BYTES = 1 << 16
POOLS = {
    "int": (0, 0, 0, 1, 1, 2, -1, 3, 4, 100, 1 << 30),
    "ints": ([], [0], [1], [0, 1], [4, 3], [3, 4], [12], [-1], [1 << 20, 1 << 20]),
    "bool": (False, False, True),
    "dtype": ("float32", "float32", "float64", "int64", "bool", "bfloat16", "uint8"),
    "number": (0.5, 1.0, 0, 2, -1, True, float("nan"), float("inf"), 1e30),
    "seed": (0, 1, (1 << 64) - 1),
    "text": ("none", "floor", "L", "reduced", "sum", "normal", "uniform", "random"),
}
# Of the program's own arithmetic or torch's: the rule would have met them, too.
MET = (GuardFailed, ArithmeticError, ValueError, TypeError, LookupError, RuntimeError)


def some_program(seed):
    """Operations of the table on values that are there, mostly as they want them."""
    chance = random.Random(seed)
    writing = Writing()
    for place, kind in PLACES.items():
        writing.read(*place, type=kind)
    for _ in range(chance.randrange(1, 12)):
        name = chance.choice(sorted(TABLE))
        row = TABLE[name]
        letters = row.signature
        if letters.endswith("*"):
            letters = letters[0] * chance.randrange(1, 4)
        count = len(writing.inputs) + len(writing.operations)
        arguments = [
            chance.choice((7, 8) if letter == "N" else range(count))
            if chance.random() < 0.8
            else chance.randrange(count)
            for letter in letters
        ]
        attributes = {
            key: chance.choice(POOLS[kind.rstrip("?")])
            for key, kind in row.attributes.items()
        }
        writing.do(name, *arguments, **attributes)
    return writing.program()


def valid_part(program, allowed):
    """The program without what the verifier refuses, as far as that goes."""
    kept = []
    for operation in program.operations:
        one = Program(program.inputs, (*kept, operation))
        try:
            verify(one, allowed)
        except ProgramRefused:
            continue
        kept.append(operation)
    return Program(program.inputs, tuple(kept))


def inputs_of(seed):
    generator = torch.Generator().manual_seed(seed)
    values = []
    for kind in PLACES.values():
        if isinstance(kind, TensorType):
            made = torch.randn(kind.shape, generator=generator) * 3
            values.append(made.to(getattr(torch, kind.dtype)))
        else:
            values.append(0.1 if kind == "float" else 3)
    return values


def type_now(value):
    if isinstance(value, torch.Tensor):
        return TensorType(str(value.dtype).removeprefix("torch."), tuple(value.shape))
    if isinstance(value, (tuple, list)):
        return TupleType(tuple(map(type_now, value)))
    return type(value).__name__


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32))
def test_whatever_is_let_through_gives_the_types_that_were_verified(seed):
    allowed = Allowed(dict(PLACES), dict(PLACES), tensor_bytes=MOST_BYTES, work=1e8)
    program = valid_part(some_program(seed), allowed)
    types = verify(program, allowed)
    inputs = inputs_of(seed)
    before = [
        each.clone() if isinstance(each, torch.Tensor) else each for each in inputs
    ]

    try:
        values = interpret(program_of(as_json(program)), inputs)
    except MET:
        values = []

    for kind, value in zip(types, values, strict=False):
        found = type_now(value)
        assert kind in (found, "number") or (kind, found) == ("float", "int")
    for one, other in zip(before, inputs, strict=True):
        if isinstance(one, torch.Tensor):
            assert torch.equal(one.nan_to_num(), other.nan_to_num())


CHANGES = st.tuples(
    st.one_of(st.integers(0, 80), st.integers(4900, 5055), st.integers(0, 5055)),
    st.integers(0, 255),
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(CHANGES, min_size=1, max_size=12), st.sampled_from(["normal", "uniform"])
)
def test_a_state_that_no_generator_was_in_draws_or_is_refused(changes, kind):
    state = torch.Generator().manual_seed(0).get_state()
    for at, byte in changes:
        state[at] = byte
    writing = Writing()
    at = writing.read("state", 0, "bytes", type=STATE)
    numbers = writing.number(0.0), writing.number(1.0)
    writing.do("drawn", at, *numbers, kind=kind, size=[700], dtype="float32")
    program = writing.program()
    verify(program, Allowed(dict(PLACES), {}))

    try:
        values = interpret(program, [state])
    except (RuntimeError, ValueError):
        return

    assert (700,) == values[-1][0].shape


@pytest.mark.parametrize(
    ("name", "arguments", "attributes"),
    [
        ("gather", (0, 2), {"dim": 0}),
        ("index", (0, 2), {"dims": [0]}),
        ("index_select", (0, 2), {"dim": 0}),
        ("take", (0, 2), {}),
        ("index_add", (1, 2, 1, 3), {"dim": 0}),
        ("scatter_value", (1, 2, 3), {"dim": 0}),
        ("put", (1, 2, 1), {"accumulate": True}),
    ],
)
def test_an_index_that_is_not_there_is_told_by_torch(name, arguments, attributes):
    writing = Writing()
    writing.read("parameter", 0, type=TensorType("float32", (3,)))
    writing.read("parameter", 1, type=TensorType("float32", (3,)))
    writing.read("state", 0, "order", type=TensorType("int64", (3,)))
    writing.read("option", 0, "lr", type="float")
    writing.do(name, *arguments, **attributes)
    program = writing.program()
    places = {each.place: each.type for each in program.inputs}
    verify(program, Allowed(places, {}))

    for far in (7, 1 << 40, -9):
        order = torch.tensor([0, far, 1])
        with pytest.raises((IndexError, RuntimeError)):
            interpret(program, [torch.ones(3), torch.ones(3), order, 0.5])


@pytest.mark.parametrize("told", [(624, 624), (624, 2), (2, 624)])
def test_a_state_in_which_a_generator_would_read_beyond_itself_is_refused(told):
    left, place = told
    state = torch.Generator().manual_seed(0).get_state()
    state[8:24] = torch.tensor(list(struct.pack("<iiQ", left, 1, place)))
    writing = Writing()
    at = writing.read("state", 0, "bytes", type=STATE)
    writing.do("drawn", at, kind="random", size=[700], dtype="int64")
    program = writing.program()
    verify(program, Allowed(dict(PLACES), {}))

    with pytest.raises(ValueError, match="no generator"):
        interpret(program, [state])


@pytest.mark.parametrize("kind", ["eval", "", "none", "copy"])
def test_numbers_of_a_kind_that_is_not_there_are_refused(kind):
    writing = Writing()
    at = writing.read("state", 0, "bytes", type=STATE)
    writing.do("drawn", at, kind=kind, size=[1], dtype="float32")

    with pytest.raises(ProgramRefused):
        verify(writing.program(), Allowed(dict(PLACES), {}))
