"""The verifier: what a forged program meets."""

import copy
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.json_form import ProgramRefused, as_json, program_of
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import Program, TensorType
from dux_sandbox.recorded.trees import LEAF
from dux_sandbox.recorded.verifying import verify
from tests.recorded.programs import WEIGHT, Writing, adam, adam_inputs, allowed_for


def refused(writing, message, **more):
    honest = Writing()
    honest.read("parameter", 0)
    honest.read("state", 0, "step", type="int")
    allowed = allowed_for(honest.program(), tensor_bytes=1 << 20, work=1e9)
    program = writing.program(**more) if isinstance(writing, Writing) else writing

    with pytest.raises(ProgramRefused, match=message):
        verify(program, allowed)


def forged(*operations, read=(("parameter", 0), WEIGHT)):
    writing = Writing()
    writing.read(*read[0], type=read[1])
    for name, arguments, attributes in operations:
        writing.do(name, *arguments, **attributes)
    return writing


@pytest.mark.parametrize("name", ["load", "__import__", "number.eval", "set_", ""])
def test_a_name_that_is_not_in_the_table_is_refused(name):
    refused(forged((name, (0,), {})), "no name of the table")


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (("mul", (0,), {}), "wrong arguments"),
        (("mul", (0, 0, 0), {}), "wrong arguments"),
        (("stack", (), {"dim": 0}), "wrong arguments"),
        (("mul", (0, 1), {}), "not there yet"),
        (("mul", (0, 9), {}), "not there yet"),
        (("number.add", (0, 0), {}), "cannot take"),
        (("part", (0,), {"index": 0}), "cannot take"),
        (("abs", (0,), {"out": 1}), "wrong attributes"),
        (("sum", (0,), {"dim": None, "keepdim": 1, "dtype": None}), "keepdim"),
        (("sum", (0,), {"dim": [True], "keepdim": False, "dtype": None}), "dim"),
        (("to", (0,), {"dtype": "complex64"}), "dtype"),
        (("to", (0,), {"dtype": "os.system"}), "dtype"),
        (("reshape", (0,), {"shape": [5]}), "reshape"),
        (("mm", (0, 0), {}), "mm"),
        (("item", (0,), {}), "item"),
        (("constant", (), {"value": "1"}), "value"),
        (("constant", (), {"value": [1]}), "value"),
        (("constant", (), {"value": 1 << 80}), "value"),
        (("gelu", (0,), {"approximate": "x"}), "approximate"),
        (("expand", (0,), {"size": [1 << 30, 4, 3]}), "bytes"),
        (("repeat", (0,), {"dims": [1 << 20, 1 << 10]}), "bytes"),
        (("eye", (), {"n": 1 << 20, "m": 1 << 20, "dtype": "float32"}), "bytes"),
        (
            ("arange", (), {"start": 0, "end": 1e9, "step": 1, "dtype": "float32"}),
            "bytes",
        ),
        (("eye", (), {"n": -1, "m": 2, "dtype": "float32"}), "eye"),
    ],
)
def test_an_operation_that_does_not_fit_is_refused(operation, message):
    refused(forged(operation), message)


def test_a_million_operations_are_refused():
    plain = as_json(forged().program())
    plain["operations"] = [["abs", [0], {}, None]] * 1_000_000

    with pytest.raises(ProgramRefused, match="at most"):
        program_of(plain)


def test_a_hundred_lists_of_a_hundred_thousand_arguments_are_refused():
    plain = as_json(forged().program())
    plain["operations"] = [["stack", [0] * 100_000, {"dim": 0}, None]] * 100

    with pytest.raises(ProgramRefused, match="arguments"):
        program_of(plain)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_a_type_that_hangs_on_what_a_number_comes_out_as_is_refused(dtype):
    least = ("number.min", (1, 2), {})
    numbers = [("constant", (), {"value": value}) for value in (1, 2.5)]
    read = (("state", 0, "m"), TensorType(dtype, (64,)))
    writing = forged(*numbers, least, ("mul", (0, 3), {}), read=read)
    program = writing.program()

    with pytest.raises(ProgramRefused, match="as a number comes out"):
        verify(program, allowed_for(program))


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (("digamma", (0,), {}), "float32"),
        (("erfinv", (0,), {}), "bfloat16"),
        (("pow", (0, 0), {}), "int64"),
        (("sort", (0,), {"dim": 0, "descending": False, "stable": True}), "float32"),
        (("inv", (0,), {}), "float32"),
    ],
)
def test_a_slow_operation_on_many_elements_is_much_work(operation, kind):
    shape = (1_000_000, 1, 1) if operation[0] == "inv" else (1_000_000,)
    writing = forged(operation, read=(("parameter", 0), TensorType(kind, shape)))
    program = writing.program()

    with pytest.raises(ProgramRefused, match="work"):
        verify(program, allowed_for(program, work=1e8))


def test_more_work_than_a_step_may_be_is_refused():
    square = ("expand", (0,), {"size": [500, 500]})
    read = (("parameter", 0), TensorType("float32", (1, 500)))
    writing = forged(square, *[("mm", (1, 1), {})] * 100, read=read)
    allowed = allowed_for(writing.program(), work=1e9)

    with pytest.raises(ProgramRefused, match="work"):
        verify(writing.program(), allowed)


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        (("parameter", 1), WEIGHT),
        (("parameter", 0), TensorType("float64", (4, 3))),
        (("parameter", 0), TensorType("float32", (3, 4))),
        (("parameter", 0), "float"),
        (("state", 0, "step"), "float"),
        (("optimizer",), WEIGHT),
    ],
)
def test_an_input_that_is_not_there_as_said_is_refused(place, kind):
    refused(forged(read=(place, kind)), "is no")


def test_reading_a_place_twice_is_refused():
    writing = forged()
    writing.read("parameter", 0)

    refused(writing, "read twice")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("parameter", 7), 0, "may not be written"),
        (("gradient", 0), 0, "may not be written"),
        (("parameter", 0), 1, "and not"),
        (("parameter", 0), 2, "and not"),
        (("parameter", 0), 99, "not"),
        (("state", 0, "step"), 0, "and not"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(place, value, message):
    whole = {"dim": None, "keepdim": False, "dtype": None}
    writing = forged(("sum", (0,), whole), ("constant", (), {"value": 1}))
    writing.write(value, *place)

    refused(writing, message)


def test_writing_a_place_twice_is_refused():
    writing = forged(("abs", (0,), {}))
    writing.write(1, "parameter", 0)
    writing.write(0, "parameter", 0)

    refused(writing, "written twice")


def test_a_guard_on_what_is_no_boolean_is_refused():
    writing = forged(("constant", (), {"value": 1}))
    writing.guard(1)

    refused(writing, "no boolean")


def test_guards_out_of_order_are_refused():
    writing = forged(*[("constant", (), {"value": True})] * 2)
    writing.guard(2)
    writing.guard(1)

    refused(writing, "before")


@pytest.mark.parametrize(
    "structure",
    [{"m": {LEAF: 9}}, {"m": {LEAF: "0"}}, {"m": {LEAF: True}}, float("nan"), object()],
)
def test_what_the_rule_keeps_has_values_at_its_leaves(structure):
    refused(forged(), "kept", structure=structure)


@pytest.mark.parametrize(
    ("result", "message"), [(0, "which is no loss"), (9, "is no value")]
)
def test_a_step_returns_one_number_or_nothing(result, message):
    refused(forged(), message, result=result)


def test_keeping_more_than_is_allowed_is_refused():
    program = forged(("abs", (0,), {})).program(structure=[{LEAF: 0}, {LEAF: 1}])

    with pytest.raises(ProgramRefused, match="keep 96 bytes"):
        verify(program, allowed_for(program, kept_bytes=95))


SOME = adam()
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.integers(),
    st.floats(),
    st.sampled_from(["float32", "bool", "float", "abs", "mm", "", "inf"]),
    st.sampled_from(sorted(TABLE)),
    st.lists(st.integers(-2, 40), max_size=4),
    st.dictionaries(st.sampled_from(["dim", "value", "dtype"]), st.integers()),
)


def places_in(node, path=()):
    """The path to each node of JSON."""
    yield path
    if isinstance(node, (dict, list)):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in pairs:
            yield from places_in(child, (*path, key))


PLACES = [path for path in places_in(as_json(SOME)) if path]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_a_changed_program_is_refused_or_runs_within_its_bounds(changes):
    found = copy.deepcopy(as_json(SOME))
    for path, value in changes:
        node = found
        try:
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
        except (TypeError, LookupError):
            continue
    allowed = allowed_for(SOME, tensor_bytes=1 << 20, work=1e8)

    try:
        program = program_of(json.loads(json.dumps(found)))
        verify(program, allowed)
    except ProgramRefused:
        return

    inputs = dict(zip((each.place for each in SOME.inputs), adam_inputs(), strict=True))
    try:
        values = interpret(program, [inputs[each.place] for each in program.inputs])
    except (GuardFailed, ArithmeticError, ValueError, TypeError, RuntimeError):
        return
    for output in program.outputs:
        known, value = inputs[output.place], values[output.value]
        assert isinstance(known, torch.Tensor) == isinstance(value, torch.Tensor)
        if isinstance(known, torch.Tensor):
            assert (known.shape, known.dtype) == (value.shape, value.dtype)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        ODD,
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(sorted(Program.__dataclass_fields__)), inner
            )
        ),
    )
)
def test_any_json_is_refused_in_words(found):
    with pytest.raises(ProgramRefused):
        program_of(found)


def test_what_a_step_makes_at_one_time_is_bounded():
    w = Writing()
    one = w.read("parameter", 0)
    made = [w.do("neg", one) for _ in range(100)]
    total = made[0]
    for each in made[1:]:
        total = w.do("add", total, each)
    w.write(total, "parameter", 0)
    together = w.program()
    size = 4 * WEIGHT.elements

    verify(together, allowed_for(together, made_bytes=102 * size))
    with pytest.raises(ProgramRefused, match="takes more than"):
        verify(together, allowed_for(together, made_bytes=90 * size))


def test_what_is_let_go_of_does_not_count():
    w = Writing()
    value = w.read("parameter", 0)
    for _ in range(100):
        value = w.do("neg", value)
    w.write(value, "parameter", 0)
    chain = w.program()

    verify(chain, allowed_for(chain, made_bytes=2 * 4 * WEIGHT.elements))
