"""Variables of the module, and names that nothing binds."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule, unguarded

COUNTS = rule(
    "count()\np.sub_(p.grad, alpha=counter)",
    top="""
counter: int = 0
def count():
    global counter
    counter += 1
""",
)


def moved(kind):
    parameter = one_parameter()
    optimizer = kind([parameter])
    for _ in range(3):
        optimizer.step()
    return parameter.detach()


def test_a_variable_of_the_module_is_written_with_a_note():
    report = check(COUNTS)

    assert report.ok
    assert ["not saved"] == [note.rule for note in report.notes]
    assert torch.equal(moved(unguarded(COUNTS)), moved(load(COUNTS)))


def test_each_rule_that_is_loaded_begins_anew():
    first, second = moved(load(COUNTS)), moved(load(COUNTS))

    assert torch.equal(first, second)


@pytest.mark.parametrize(
    "lines",
    [
        "global nowhere\nnowhere = 1",
        "global torch\ntorch = 1",
        "global Rule\nRule = 1",
        "global helper\nhelper = 1",
        "global __builtins__",
        "global open\nopen(1)",
    ],
)
def test_what_the_module_does_not_assign_to_stays_what_it_is(lines):
    assert not check(rule(lines, top="def helper():\n    pass")).ok


def test_a_guard_is_not_reached_by_a_variable_of_the_module():
    top = "math = None\ndef put(x):\n    global math\n    math = x\n"
    source = rule("put(3)\nassert math == 3\np.sub_(p.grad)", top=top)

    load(source)([one_parameter()]).step()


def test_a_name_that_nothing_binds_is_what_python_raises():
    source = rule(
        "try:\n    raise ValueError('{} is wrong'.format(alpha)) from beta\n"
        "except NameError as error:\n    assert 'alpha' in str(error)\n"
        "    p.sub_(p.grad)"
    )
    parameter = one_parameter()

    report = check(source)
    load(source)([parameter]).step()

    assert ["left out"] == [note.rule for note in report.notes]
    assert torch.equal(torch.zeros(3, 2), parameter.detach())


@pytest.mark.parametrize(
    "line",
    [
        "raise ValueError(open('x'))",
        "raise ValueError(os.getcwd())",
        "raise ValueError(alpha, p.numpy())",
        "raise ValueError(alpha, __import__('os'))",
        "raise SystemExit(alpha)",
        "x = alpha",
    ],
)
def test_what_python_would_find_is_refused_in_what_is_raised(line):
    assert not check(rule(line)).ok
