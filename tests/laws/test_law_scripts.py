"""The script of a broken law runs as it stands, whatever the rule's file looks like."""

import subprocess
import sys

import pytest
import torch

from dux_sandbox.jailed_laws import try_laws
from dux_sandbox.laws import LAWS, check_laws
from dux_sandbox.loading import load
from tests.law_mutants import rule_of, source_of

CLIPS = source_of("gradient_scaled_in_place")
BROKEN = "the step changed a gradient"
OTHERS = [law.name for law in LAWS if law.name != "gradients"]

HEADERS = {
    "future": "from __future__ import annotations\n\n",
    "docstring_and_future": '"""A rule.\n\nimport torch\n"""\n\n# why\n'
    "from __future__ import annotations\n",
    "two_futures": "from __future__ import (\n    annotations,\n    division,\n)\n\n",
    "shebang": "#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n",
    "names_of_the_experiment": "a, b, c = 3.4, -4.7, 2.0\nheld = values = None\n",
    "factory": "def factory(beta):\n    return beta\n\n\n",
    "copy": "from copy import copy, deepcopy\n",
    "tried_import": "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
    "other_names": "import torch as th\nimport torch.nn as nn\nimport torch.optim\n",
    "star": "from math import *\n",
}
# What the rule uses of its header, so that it does not fall away.
USES = {
    "names_of_the_experiment": "a + b + c",
    "factory": "factory(1.0)",
    "copy": "copy(1.0)",
    "star": "sqrt(1.0)",
    "other_names": "th.ones(1), nn.Module, torch.optim.SGD",
}


def file_with(header):
    used = USES.get(header, "0")
    return HEADERS[header] + CLIPS.replace(
        "        loss = None\n", f"        loss = None\n        _ = {used}\n"
    )


def run(script):
    exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})


def script_of(rule, **settings):
    [result] = check_laws(rule, examples=0, skip=OTHERS, **settings)
    assert BROKEN == result.message
    return result.example


@pytest.mark.parametrize("header", HEADERS)
def test_a_script_runs_whatever_the_file_begins_with(header):
    source = file_with(header)

    script = script_of(rule_of(source), source=source)

    with pytest.raises(AssertionError, match=BROKEN):
        run(script)


@pytest.mark.parametrize("header", ["future", "docstring_and_future", "factory"])
def test_a_script_from_the_jail_runs_as_well(header):
    [result] = try_laws(file_with(header), examples=0, skip=OTHERS)

    with pytest.raises(AssertionError, match=BROKEN):
        run(result.example)


def test_a_script_leaves_out_what_the_class_does_not_need():
    usage = "\n\nrule = Rule([torch.zeros(1)])\nprint(rule)\nraise SystemExit(3)\n"

    script = script_of(rule_of(CLIPS), source=CLIPS + usage)

    assert "SystemExit" not in script
    with pytest.raises(AssertionError, match=BROKEN):
        run(script)


def test_a_decorator_and_what_changes_the_class_afterwards_stay():
    source = CLIPS.replace(
        "class Rule", "def named(cls):\n    return cls\n\n\n@named\nclass Rule"
    )
    source += "\n\nRule.__doc__ = 'told'\n"

    script = script_of(rule_of(source), source=source)

    assert "@named\nclass Rule" in script and "Rule.__doc__" in script


def long_class(called):
    """A class of thousands of lines; with `called`, none of them can be left out."""
    methods = "".join(
        f"\n    def part{at}(self):\n        return {at}\n" for at in range(400)
    )
    calls = "".join(f"        self.part{at}()\n" for at in range(400) if called)
    return (
        CLIPS.replace("        loss = None\n", f"        loss = None\n{calls}")
        + methods
    )


def test_a_script_for_a_long_class_is_short():
    source = long_class(called=False)

    script = script_of(rule_of(source), source=source)

    assert len(script.splitlines()) < 100
    with pytest.raises(AssertionError, match=BROKEN):
        run(script)


def test_a_class_that_is_long_throughout_is_taken_from_its_file(tmp_path):
    file = tmp_path / "long's.py"
    file.write_text(long_class(called=True))

    [result] = try_laws(file.read_text(), examples=0, skip=OTHERS, file=str(file))

    assert len(result.example.splitlines()) < 100
    done = subprocess.run(
        [sys.executable, "-c", result.example], capture_output=True, text=True
    )
    assert BROKEN in done.stderr


def test_a_rate_that_is_a_tensor_is_written_as_one():
    def factory(params):
        return Clips(params, lr=torch.tensor(0.5))

    script = script_of(factory)

    assert "lr=torch.tensor(0.5, dtype=torch.float32)" in script
    with pytest.raises(AssertionError, match=BROKEN):
        run(script)


class Clips(torch.optim.SGD):
    """Breaks one law."""

    def step(self, closure=None):
        """Clip, and step."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.clamp_(-1, 1)
        return super().step(closure)


@pytest.mark.parametrize(
    "signature", ["params, lr", "params, lr, *, weight_decay", "params, lr=required"]
)
@pytest.mark.parametrize("jailed", [False, True])
def test_a_script_gives_what_the_constructor_demands(signature, jailed):
    source = (
        "import torch\nfrom torch.optim.optimizer import required\n"
        "class Rule(torch.optim.SGD):\n"
        f"    def __init__(self, {signature}):\n        super().__init__(params, lr)\n"
        "    def step(self, closure=None):\n"
        "        self.param_groups[0]['params'][0].grad.mul_(0.5)\n"
        "        return super().step(closure)\n"
    )
    if jailed:
        [held] = try_laws(source, examples=0, skip=OTHERS)
        script = held.example
    else:
        script = script_of(load(source), source=source)

    with pytest.raises(AssertionError, match=BROKEN):
        run(script)
