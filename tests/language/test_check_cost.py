"""What a check costs grows with the source and no faster, whatever the source.

Counted in calls of functions, not in seconds: the counts are the same on every machine.
"""

import os
import sys

import pytest

from dux_sandbox.static_check import check, judge
from tests import heavy_sources

# The dearest source of the corpus takes 6 calls a byte, the densest of the made ones
# 88, at 3 kB as at 24 kB. What is quadratic takes hundreds at one, thousands at the
# other. In the same way 10 bytes of code come of a byte at most.
CALLS_PER_BYTE = 90
CODE_PER_BYTE = 20


def calls_of(function, *arguments):
    """How many functions are called, in Python and in C."""
    count = 0

    def watch(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return count


def size_of_code(code):
    """Bytes of the code of a source and of all functions in it."""
    inner = [each for each in code.co_consts if isinstance(each, type(code))]
    return len(code.co_code) + sum(map(size_of_code, inner))


def too_dear(source):
    """What is too much about checking this source, in words; nothing is the bar."""
    found = []
    calls = calls_of(check, source) / len(source)
    if calls > CALLS_PER_BYTE:
        found.append(f"{calls:.0f} calls a byte")
    code = judge(source).code
    if code is not None and size_of_code(code) / len(source) > CODE_PER_BYTE:
        found.append(f"{size_of_code(code) / len(source):.0f} bytes of code a byte")
    return found


@pytest.mark.parametrize("size", [3_000, 9_000])
@pytest.mark.parametrize("family", heavy_sources.FAMILIES)
def test_judging_and_compiling_grow_with_the_source_and_no_faster(family, size):
    source = heavy_sources.FAMILIES[family](size)

    assert [] == too_dear(source)


@pytest.mark.parametrize("seed", range(20))
def test_what_a_grammar_draws_costs_no_more(seed):
    assert [] == too_dear(heavy_sources.drawn(seed, 4_000))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("first", range(1_000, 4_000, 100))
def test_much_that_a_grammar_draws_costs_no_more_and_crashes_nothing(first):
    for seed in range(first, first + 100):
        source = heavy_sources.drawn(seed, 60_000)
        assert (seed, 0) == (seed, exit_code_of(lambda text=source: too_dear(text)))


def exit_code_of(work):
    """0 where `work` finds nothing, in a process of its own: a crash is a finding."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 3 if work() else 0
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def within_handlers(count):
    withs = "".join(" " * at + "with x:\n" for at in range(8))
    inner = count - 8
    return f"{withs}{' ' * 8}y = {'[' * inner}x{' for x in y]' * inner}\n"


def finally_of(returns, statements):
    return (
        "def f():\n try:\n"
        + "  if x: return 1\n" * returns
        + " finally:\n"
        + "  y = 1\n" * statements
    )


def pattern_of(names):
    return f"match x:\n case [{','.join(f'n{at}' for at in range(names))}]: 0\n"


def lambdas(count):
    """As many names as functions, ten a line."""
    lines = []
    for at in range(0, count, 10):
        names = "".join(f"n{each} = " for each in range(at, at + 10))
        lines.append(names + "(" + "lambda: 0, " * 10 + ")")
    return "\n".join(lines)


CAPS = {
    "nodes": (("x = [" + "[]," * 99 + "]\n").__mul__, 60, "numbers and operators"),
    "classes": ("class A: 0\n".__mul__, 99, "more than 100 classes"),
    "attributes": (lambda n: "x = y" + ".real" * n, 30, "more than 30 attributes"),
    "patterns": (pattern_of, 20, "binds more than 20 names"),
    "finally": (lambda n: finally_of(n, n), 60, "finally blocks that are left in many"),
    "handlers": (within_handlers, 16, "nested deeper than 16 in all"),
    "scopes": (lambdas, 900, "functions, classes and comprehensions"),
}


@pytest.mark.parametrize("cap", CAPS)
def test_what_is_within_a_cap_passes_it_and_what_is_beyond_is_told_so(cap):
    make, most, message = CAPS[cap]
    within, beyond = (
        f"import torch\nx = y = 0\n{text}\nclass Rule(torch.optim.SGD): 0\n"
        for text in (make(most), make(most * 3))
    )

    assert () == check(within).findings
    [finding] = check(beyond).findings
    assert "size" == finding.rule
    assert message in finding.message
    assert finding.instead
