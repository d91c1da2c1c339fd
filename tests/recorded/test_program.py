"""The program: its meaning, its JSON, its text."""

import json
import math

import pytest
import torch

from dux_sandbox.recorded.interpreting import GuardFailed, interpret
from dux_sandbox.recorded.json_form import ProgramRefused, as_json, digest, program_of
from dux_sandbox.recorded.lifetimes import last_uses
from dux_sandbox.recorded.number_operations import MEANINGS, THREE, TWO
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.printing import printed
from dux_sandbox.recorded.program import TensorType
from dux_sandbox.recorded.typing_of import result_of, type_of
from dux_sandbox.recorded.verifying import verify
from tests.recorded.programs import Writing, adam, adam_inputs, allowed_for


def stepped_by_hand(p, g, m, v, t, lr):
    g = g * min(1.0, 1 / math.sqrt(float(g.pow(2).sum())))
    m.mul_(0.9).add_(g, alpha=1 - 0.9)
    v.mul_(0.9).addcmul_(g, g, value=1 - 0.9)
    correction = 1 - 0.9 ** (t + 1)
    p.addcdiv_(m, (v / correction).sqrt().add_(1e-8), value=-lr / correction)
    return {"p": p, "m": m, "v": v}


def test_a_program_means_what_torch_does():
    program = adam()

    values = interpret(program, adam_inputs())

    wanted = stepped_by_hand(*adam_inputs())
    got = {each.place: values[each.value] for each in program.outputs}
    assert torch.equal(wanted["p"], got["parameter", 0])
    assert torch.equal(wanted["m"], got["state", 0, "m"])
    assert torch.equal(wanted["v"], got["state", 0, "v"])
    assert 5 == got["state", 0, "step"]


def test_no_input_is_changed():
    inputs = adam_inputs()

    interpret(adam(), inputs)

    assert all(map(torch.equal, adam_inputs()[:4], inputs[:4]))


def test_a_guard_that_does_not_hold_is_told():
    inputs = adam_inputs()
    inputs[1] = torch.full_like(inputs[1], float("inf"))

    with pytest.raises(GuardFailed) as told:
        interpret(adam(), inputs)

    assert 0 == told.value.index


def test_a_program_survives_json():
    program = adam()

    back = program_of(json.loads(json.dumps(as_json(program))))

    assert program == back
    assert digest(program) == digest(back)


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan, 1e-320, 0.1, True])
def test_every_number_survives_json(number):
    writing = Writing()
    writing.number(number)

    text = json.dumps(as_json(writing.program()), allow_nan=False)

    (back,) = interpret(program_of(json.loads(text)), [])
    assert repr(number) == repr(back)


def test_the_digest_does_not_hang_on_lines():
    plain = as_json(adam())
    moved = as_json(adam())
    moved["operations"][3][3] = 77

    assert digest(program_of(plain)) == digest(program_of(moved))


def test_every_value_has_the_type_that_the_verifier_says():
    program = adam()

    types = verify(program, allowed_for(program))

    for kind, value in zip(types, interpret(program, adam_inputs()), strict=True):
        found = type_of(value) if isinstance(value, torch.Tensor) else type(value)
        assert kind == (found if isinstance(found, TensorType) else found.__name__)


@pytest.mark.parametrize(
    "name", [name for name, row in TABLE.items() if row.room == "elementwise"]
)
def test_an_elementwise_operation_makes_one_element_of_each(name):
    row = TABLE[name]
    defaults = {"dtype": "float32", "text": "none", "number?": None}
    options = {key: defaults[kind] for key, kind in row.attributes.items()}
    if name == "div_rounded":
        options["rounding_mode"] = "floor"
    kinds = {"bitwise": "int64", "where": "bool", "masked_fill": "bool"}
    of_matrix = {"T": TensorType("float32", (2, 3)), "A": "float", "N": "float"}
    arguments = [of_matrix[letter] for letter in "T" + row.signature[1:]]
    for start, dtype in kinds.items():
        if name.startswith(start):
            at = 1 if name == "masked_fill" else 0
            arguments[at] = TensorType(dtype, (2, 3))
    if name == "where":
        arguments[1] = TensorType("float32", (2, 3))
    if name == "pick":
        arguments[0] = "bool"
    if name.startswith("bitwise"):
        arguments[1:] = ["int"] * (len(arguments) - 1)

    made = result_of(name, tuple(arguments), options)

    assert (2, 3) == made.shape


@pytest.mark.parametrize("name", sorted(MEANINGS))
def test_an_operation_on_numbers_takes_as_many_as_is_said(name):
    numbers = (2, 1) if name == "round" or name in TWO else (1,)
    if name in THREE:
        numbers = (True, 1, 2)
    if name in ("atanh", "acosh"):
        numbers = (0,) if name == "atanh" else (1,)

    made = MEANINGS[name](*numbers)

    assert type(made) in (bool, int, float)


def test_an_integer_stays_short():
    with pytest.raises(OverflowError):
        MEANINGS["pow"](2, 10**9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {}}, "no list"),
        ({"operations": [["mul", [0], {}]]}, "no list of 4"),
        ({"operations": [["mul", [-1], {}, None]]}, "no number of a value"),
        ({"operations": [[3, [0], {}, None]]}, "no text"),
        ({"operations": [["mul", [0], [], None]]}, "no object"),
        ({"guards": [[0, 1, None]]}, "true or false"),
        ({"inputs": [[["parameter", 0], ["float32", [True]]]]}, "no number"),
        ({"inputs": [[["parameter", 0.5], "float"]]}, "short texts"),
        ({"inputs": [[["parameter", 0], "complex"]]}, "no kind"),
        ({"extra": 1}, "fields"),
        ({"operations": [["abs", [0], {}, None]] * 200_001}, "at most"),
    ],
)
def test_json_that_is_no_program_is_refused(change, message):
    with pytest.raises(ProgramRefused, match=message):
        program_of(as_json(adam()) | change)


def test_a_printed_program_names_places_and_guards():
    text = printed(adam())

    assert "parameter[0] <- " in text
    assert "is True" in text
    assert "state[0]['m']" in text


def test_what_nothing_needs_any_more_is_let_go_of():
    program = adam()
    needed = {each.value for each in program.outputs}

    values = interpret(program, adam_inputs(), done=last_uses(program))

    whole = interpret(program, adam_inputs())
    kept = [at for at, value in enumerate(values) if value is not None]
    assert needed <= set(kept) <= needed | set(range(len(program.inputs)))
    for at in needed:
        assert torch.equal(torch.as_tensor(whole[at]), torch.as_tensor(values[at]))
