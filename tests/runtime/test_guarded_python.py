"""Under the guards operators, loops and builtins give what Python gives."""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict, defaultdict, deque
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pytest
import torch

from dux_sandbox.loading import load
from tests.rule_sources import one_parameter, rule

TOP = """
import functools
import itertools
from collections import OrderedDict
from functools import partial, reduce

def logged(log, value):
    log.append(value)
    return value

def counting(n):
    for i in range(n):
        yield i
"""
HERE = Path(__file__).parents[1] / "golden"
NAMES: dict[str, Any] = {
    "math": math,
    "torch": torch,
    "itertools": itertools,
    "deque": deque,
    "defaultdict": defaultdict,
    "OrderedDict": OrderedDict,
    "partial": partial,
    "reduce": reduce,
}
EXPRESSIONS = (HERE / "expressions_of_python.txt").read_text().splitlines()


def under_the_guards(expression: str) -> Any:
    made = rule(f"x, y, z = 5, 7, 6\nself.result = ({expression},)", top=TOP)
    optimizer = load(made)([one_parameter()])
    optimizer.step()
    return optimizer.result  # type: ignore[attr-defined]


def in_plain_python(expression: str) -> Any:
    namespace = dict(NAMES)
    exec(TOP, namespace)
    exec(f"def f(x, y, z):\n    return ({expression},)", namespace)
    return namespace["f"](5, 7, 6)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_gives_what_python_gives(expression: str) -> None:
    expected, found = in_plain_python(expression), under_the_guards(expression)

    assert expected == found
    assert str(expected) == str(found)


STATEMENTS = {
    "unpacking": "a, (b, *c), [d] = 1, (2, 3, 4), 'e'\nresult = (a, b, c, d)",
    "unpacking_a_generator": "a, *b = counting(4)\nresult = (a, b)",
    "unpacking_twice": "a = b, c = [1, 2]\nresult = (a, b, c)",
    "unpacking_keeps_the_object": "s = [1, 2]\na = b, *c = s\nresult = (a is s, b, c)",
    "unpacking_items": "d = {}\nd['a'], d['b'] = 1, 2\nresult = d",
    "too_few": "try:\n    a, b = [1]\nexcept ValueError as e:\n    result = str(e)",
    "too_many": (
        "try:\n    a, b = 1, 2, 3\nexcept ValueError as e:\n    result = str(e)"
    ),
    "none_inside": (
        "try:\n    a, (b, c) = [1]\nexcept ValueError as e:\n    result = str(e)"
    ),
    "not_iterable": (
        "try:\n    a, b = None\nexcept TypeError:\n    result = 'type error'"
    ),
    "loops": (
        "result = []\nfor i, (a, b) in enumerate(zip('ab', 'cd')):\n"
        "    result.append((i, a, b))"
    ),
    "loop_of_stars": (
        "result = []\nfor a, *b in ['xyz', [1]]:\n    result.append((a, b))"
    ),
    "loop_over_items": (
        "result = 0\nfor k, v in {1: 2, 3: 4}.items():\n    result += k * v"
    ),
    "loop_with_else": "for a, b in []:\n    pass\nelse:\n    result = 1",
    "sorting_a_list": (
        "result = [3, 1, 2]\nresult.sort(key=lambda i: -i)\nresult.sort(reverse=True)"
    ),
    "removing": "result = [1, 2, 1]\nresult.remove(1)",
    "sets": (
        "s = {1}\ns.add(2)\ns.update([3], (4,))\ns.discard(9)\ns.remove(1)\n"
        "s |= {7}\ns -= {2}\nresult = sorted(s)"
    ),
    "dicts": (
        "d = {}\nd['a'] = 1\nd.update(b=2)\nd.update([('c', 3)])\nd |= {'e': 5}\n"
        "del d['a']\nresult = d"
    ),
    "deques": (
        "d = deque([1, 2], maxlen=3)\nd.append(3)\nd.append(4)\nd.appendleft(0)\n"
        "d.extend([5])\nd.rotate(1)\nd[0] = 9\nd += [6]\nresult = (list(d), d.maxlen)"
    ),
    "in_place": (
        "a = 5\na += 2\na -= 1\na *= 3\na //= 2\na %= 7\na **= 2\na <<= 2\na |= 1\n"
        "s = 'a'\ns += 'b'\ns *= 2\nl = [1]\nl += (2,)\nl *= 2\nresult = (a, s, l)"
    ),
    "generators": "g = counting(3)\nresult = (next(g), list(g), next(g, 'end'))",
    "properties": (
        "class A:\n    def __init__(self):\n        self.v = 1\n"
        "    @property\n    def p(self):\n        return self.v\n"
        "    @p.setter\n    def p(self, value):\n        self.v = value * 2\n"
        "    @staticmethod\n    def s(x):\n        return x + 1\n"
        "    @classmethod\n    def c(cls, x):\n        return x + 2\n"
        "a = A()\na.p = 4\nresult = (a.p, a.s(1), A.c(1))"
    ),
    "chain_in_a_class": (
        "class A:\n    low, high = 1, 9\n    inside = low < 5 < high\n"
        "    outside = low < high < len('ab')\nresult = (A.inside, A.outside)"
    ),
    "matching": ("match [1, 2, 3]:\n    case [a, *rest]:\n        result = (a, rest)"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statements_do_what_python_does(name: str) -> None:
    body = STATEMENTS[name]
    optimizer = load(rule(f"{body}\nself.result = result", top=TOP))([one_parameter()])
    namespace = dict(NAMES)
    exec(TOP, namespace)
    exec(body, namespace)

    optimizer.step()

    assert namespace["result"] == optimizer.result  # type: ignore[attr-defined]


TENSORS = (HERE / "expressions_of_tensors.txt").read_text().splitlines()


@pytest.mark.parametrize("expression", TENSORS)
def test_an_expression_of_tensors_gives_what_torch_gives(expression: str) -> None:
    setup = "t = torch.tensor([[1.0, 2.0], [3.0, 5.0]])\ns = torch.ones(2, 2) * 2\n"
    made = rule(f"{setup}self.result = ({expression},)", top=TOP)
    optimizer = load(made)([one_parameter()])
    namespace = dict(NAMES)
    exec(f"{setup}result = ({expression},)", namespace)

    with torch.no_grad():
        optimizer.step()

    expected, found = namespace["result"], optimizer.result  # type: ignore[attr-defined]
    assert str(expected) == str(found)
