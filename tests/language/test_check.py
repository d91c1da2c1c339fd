"""`check`: a report for every text, quickly, with findings that say what to write."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings

import pytest

from dux_sandbox import static_check
from dux_sandbox.findings import digest_of
from dux_sandbox.language import vocabulary
from dux_sandbox.static_check import check
from tests.language.test_check_cost import CALLS_PER_BYTE, calls_of
from tests.rule_sources import corpus, rule

MEGABYTE = 1_000_000
TEXTS = {
    "empty": "",
    "open_brackets": "(" * MEGABYTE,
    "open_brackets_small": "(" * 60_000,
    "brackets": "f(" * 60 + ")" * 60,
    "square": "[" * 300 + "]" * 300,
    "minus": "-" * MEGABYTE,
    "minus_small": "-" * 60_000 + "1",
    "spaced_minus": "- " * 500 + "1",
    "not": "not " * 500 + "x",
    "dots": "a" + ".b" * MEGABYTE,
    "dots_small": "a" + ".b" * 30_000,
    "dots_smaller": "a" + ".b" * 900,
    "calls": "a" + "()" * 800,
    "items": "a" + "[0]" * 600,
    "sum": "a" + "+a" * 900,
    "power": "a" + "**a" * 600,
    "compare": "a" + "<a" * 900,
    "targets": "a" + "=a" * 900,
    "ternary": "x = " + "1 if 1 else " * 200 + "1",
    "lambdas": "lambda: " * 300 + "1",
    "comprehension": "[x" + " for x in y" * 300 + "]",
    "elif": "if 1: pass\n" + "elif 1: pass\n" * 500,
    "indented": "".join(" " * i + "if 1:\n" for i in range(99)) + " " * 99 + "pass",
    "decorators": "@a\n" * 900 + "def f(): pass",
    "classes": "class A: pass\n" * 900,
    "star": "*" * 1000,
    "patterns": "match x:\n case " + "[" * 35 + "]" * 35 + ": pass",
    "semicolons": "x=1;" * 10_000,
    "lines": "\n" * 60_000,
    "returns": "\r" * 3_000,
    "continued": "\\\n" * 1_999 + "x",
    "spaces": " " * 60_000,
    "odd_spaces": " " * 60_000 + "\xa0",
    "words": "a" * 60_000 + '"',
    "quotes": "'" + "\\'" * 30_000,
    "triple_quotes": "'''" + "\\'" * 30_000,
    "many_triples": '"""' * 20_001,
    "many_quotes": '"' * 60_001,
    "fstrings": 'f"{' * 10_000,
    "fstring_brackets": 'f"{' + "(" * 100 + "1" + ")" * 100 + '}"',
    "fstring_nested": "f\"{f'{1}'}\"",
    "fstring_own_quotes": 'f"{x["a"]}"',
    "nul": "a\0b",
    "surrogate": "x = '\ud800'",
    "large_integer": "x = " + "9" * 5_000,
    "hex_integer": "x = 0x" + "f" * 5_000,
    "form_feed": "\x0c\x0cx = 1",
    "tabs": "if 1:\n\tx = 1\n        y = 2",
    "cookie": "# -*- coding: utf-7 -*-\n+AGYAbwBv-",
    "escape": "x = '\\d'",
    "unicode_name": "ﬁ = 1",
    "unicode_dunder": "x.__ｃlass__",
    "return_outside": "return 1",
    "break_outside": "break",
    "nonlocal_outside": "nonlocal x",
    "yield_outside": "yield 1",
    "await_outside": "await x",
    "star_alone": "x = *a",
    "del_literal": "del 1",
    "type_alias": "type X = int",
    "type_parameters": "def f[T](x: T): pass",
    "template": 't"{x}"',
    "future": "from __future__ import barry_as_FLUFL",
    "twice": "def f(a, a): pass",
    "walruses": "(" * 30 + "a := 1" + ")" * 30,
    "not_python": "Here is your optimizer: it is fast.",
}


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_any_text_gets_a_report_at_a_cost_that_grows_with_it(name: str) -> None:
    report = check(TEXTS[name])

    calls = calls_of(check, TEXTS[name])
    assert calls < CALLS_PER_BYTE * min(len(TEXTS[name]), vocabulary.SOURCE_BYTES) + 500
    assert not report.ok
    assert report.findings
    assert "internal" not in {finding.rule for finding in report.findings}
    assert digest_of(TEXTS[name]) == report.digest


@pytest.mark.parametrize("value", [None, b"x", 3, ["x"]])
def test_what_is_no_text_gets_a_report(value: object) -> None:
    report = check(value)  # type: ignore[arg-type]

    assert ["syntax"] == [finding.rule for finding in report.findings]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert check("\ufeff" + rule()).ok


def test_a_truncated_or_scrambled_source_gets_a_report() -> None:
    draw = random.Random(0)
    for path in [*corpus("benign"), *corpus("escapes")]:
        text = path.read_text()
        cut = draw.randrange(len(text))
        letters = list(text)
        for _ in range(5):
            a, b = draw.randrange(len(letters)), draw.randrange(len(letters))
            letters[a], letters[b] = letters[b], letters[a]

        for damaged in (text[:cut], text[cut:], "".join(letters)):
            rules = {finding.rule for finding in check(damaged).findings}
            assert "internal" not in rules


def test_check_imports_no_torch() -> None:
    command = (
        "import sys; from dux_sandbox.static_check import check; "
        "check('import torch'); print('torch' in sys.modules)"
    )

    answer = subprocess.run(
        [sys.executable, "-c", command],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert "False" == answer.stdout.strip()


def test_warnings_of_the_parser_reach_nobody() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        check(rule("x = '\\d'\ny = x is 'a'\nassert (x, y)"))

    assert [] == seen


def test_findings_come_in_order_of_lines_and_each_once() -> None:
    report = check(rule("p.numpy()\np.numpy(); p.numpy()\nopen('x')"))

    lines = [finding.line for finding in report.findings]
    assert sorted(lines) == lines
    assert len(set(report.findings)) == len(report.findings) == 3


def test_a_long_list_of_findings_is_cut_short() -> None:
    assert 20 == len(check(rule("\n".join(f"p.bad{i}" for i in range(50)))).findings)


def test_a_rule_that_watches_layers_is_told_so_and_not_each_of_their_attributes():
    step = "p.register_forward_hook(1)\nisinstance(p, torch.nn.Linear)\np.weight\np.bad"

    found = [finding.message for finding in check(rule(step)).findings]

    assert ["register_forward_hook", "bad"] == [each.split()[2] for each in found]


MESSAGES = [
    ("import numpy as np", "import", "torch and math"),
    ("import random", "import", "torch.Generator"),
    ("import copy", "import", ".clone()"),
    ("import operator", "import", "at the top"),
    ("p.weight", "attribute", "no model"),
    ("p.register_forward_hook(1)", "attribute", "no hooks"),
    ("p.mul_(self.warmth)", "attribute", "set it in __init__"),
    ("torch.symeig(p)", "attribute", "torch.linalg.eigh"),
    ("p.grad.grad_fn", "attribute", "no graph"),
    ("x = closure().grad_fn is None", "attribute", "no graph"),
    ("if closure().grad_fn is None:\n    raise ValueError", "attribute", "no graph"),
    ("self.dux_rounding = 1", "write", ""),
    ("torch.autograd.grad(p, p)", "attribute", "grad_outputs"),
    ("p.requires_grad_(False)", "attribute", "training loop"),
    ("torch.inference_mode()", "attribute", "torch.no_grad()"),
    ("loss = p.sum().backward()", "attribute", "closure()"),
    ("'{}'.format", "attribute", ""),
    ("s = 'a'\ns.format(1)", "format", "f-string"),
    ("f'{1:{p}}'", "format", "width"),
    ("while True:\n    pass", "loop", "range("),
    ("from functools import partial\npartial(torch.add, out=p)", "call", "copy_"),
    ("self.param_groups = []", "write", "group["),
    ("p.grad = None", "write", "zero_grad"),
    ("class A(dict):\n    pass", "class", "torch.optim.Optimizer"),
    ("missing + 1", "name", "define it"),
    ("itertools.chain()", "name", "import itertools"),
    ("global x", "statement", "self"),
    ("10 ** 100000", "size", "float"),
    ("[0] * 10 ** 9", "size", "smaller"),
    ("except_ = 1\nraise SystemExit", "name", "ValueError"),
]


@pytest.mark.parametrize(("step", "kind", "instead"), MESSAGES)
def test_a_finding_names_the_rule_the_line_and_the_form_to_write(
    step: str, kind: str, instead: str
) -> None:
    findings = check(rule(step)).findings
    last = len(rule(step).rstrip().split("\n"))

    assert kind in {finding.rule for finding in findings}
    assert any(instead in finding.instead for finding in findings)
    assert all(finding.line and 10 < finding.line <= last for finding in findings)


CONTRACTS = {
    "no_class": ("import torch\nx = 1", "no class"),
    "helper_only": ("class A:\n    pass", "no class"),
    "nested": (
        "import torch\ndef f():\n    class A(torch.optim.SGD):\n        pass",
        "no class",
    ),
    "no_step": (
        "import torch\nclass A(torch.optim.Optimizer):\n"
        "    def __init__(self, params):\n        super().__init__(params, {})",
        "no step",
    ),
    "no_init": (
        "import torch\nclass A(torch.optim.Optimizer):\n"
        "    def step(self, closure=None):\n        pass",
        "no __init__",
    ),
    "argument": (
        "import torch\nclass A(torch.optim.SGD):\n"
        "    def __init__(self, params, projector):\n        super().__init__(params)",
        "argument projector",
    ),
    "keyword_argument": (
        "import torch\nclass A(torch.optim.SGD):\n"
        "    def __init__(self, params, *, projector):\n"
        "        super().__init__(params)",
        "argument projector",
    ),
    "no_parameters": (
        "import torch\nclass A(torch.optim.SGD):\n"
        "    def __init__(self):\n        pass",
        "no parameters",
    ),
    "step_argument": (
        "import torch\nclass A(torch.optim.SGD):\n    def step(self, closure, x):\n"
        "        pass",
        "step has arguments",
    ),
}


@pytest.mark.parametrize("name", sorted(CONTRACTS))
def test_a_class_that_cannot_be_built_and_stepped_is_refused(name: str) -> None:
    source, message = CONTRACTS[name]

    findings = check(source).findings

    assert ["contract"] == [finding.rule for finding in findings]
    assert message in findings[0].message
    assert findings[0].instead


def test_the_caps_on_size_are_those_of_the_table() -> None:
    body = "x = 1\n"
    within = rule() + "#" * (vocabulary.SOURCE_BYTES - len(rule()))

    assert check(within).ok
    assert "bytes" in check(within + "#").findings[0].message
    assert "lines" in check(body * (vocabulary.SOURCE_LINES + 1)).findings[0].message
    for depth, ok in ((vocabulary.BRACKET_DEPTH - 5, True), (41, False)):
        assert ok is check(rule(f"x = {'(' * depth}1{')' * depth}")).ok


# In these a comment holds a line end, and code after it; or letters are others.
OTHER_TEXTS = {
    "utf-7": "# +AAo-import os+AAo-os.abort()",
    "utf7": "# +AAo-import os+AAo-os.abort()",
    "unicode_escape": "# \\nimport os\\nos.abort()",
    "raw-unicode-escape": "# \\u000aimport os\\u000aos.abort()",
    "utf-16": "",
    "cp037": "",
    "latin-1": 'NAME = "\u00e9"',
}
PLACES = (
    "# coding: {}\n{}",
    "#!python\n\f# -*- coding:{} -*-\n{}",
    "# x\r#coding={}\n{}",
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("coding", sorted(OTHER_TEXTS))
def test_a_file_that_python_would_read_as_another_text_is_refused(
    coding: str, place: str
) -> None:
    text = place.format(coding, rule()) + OTHER_TEXTS[coding]

    report = check(text)

    (finding,) = report.findings
    assert "syntax" == finding.rule
    assert f"{coding} and no UTF-8" in finding.message
    assert "UTF-8" in finding.instead


@pytest.mark.parametrize(
    "line",
    [
        "# -*- coding: utf-8 -*-",
        "# vim: set fileencoding=utf8 :",
        "# coding: utf-8-unix",
        "# -*- coding: latin-1 -*-",
        "# coding: ascii",
        "# Encoding: none, the steps are as they are",
        "x = 1  # coding: utf-7",
        "#\n#\n# coding: utf-7 is far below",
    ],
)
def test_a_coding_that_changes_nothing_is_accepted(line: str) -> None:
    assert check(f"{line}\n{rule()}").ok


@pytest.mark.parametrize("disturbed", [0, 1, 4])
def test_a_thread_that_parses_beside_it_has_no_good_source_refused(
    monkeypatch, disturbed
):
    errors = [SystemError("AST constructor recursion depth mismatch")] * disturbed
    parsed = static_check._parsed

    def parse(source):
        if errors:
            raise errors.pop()
        return parsed(source)

    monkeypatch.setattr(static_check, "_parsed", parse)

    assert check(rule()).ok


def test_what_ends_the_parser_each_time_is_refused(monkeypatch):
    def parse(source):
        raise SystemError("broken")

    monkeypatch.setattr(static_check, "_parsed", parse)

    assert ["internal"] == [finding.rule for finding in check(rule()).findings]
