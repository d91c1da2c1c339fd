"""`--option NAME=VALUE`: what a file's constructors are given in place of defaults."""

import json

import pytest
from typer.testing import CliRunner

from dux_agent.checking.given_options import GivenOptions
from dux_agent.cli import app
from dux_agent.errors import BadArgument
from dux_agent.tool_server.answers import Answers
from dux_agent.tool_server.places import Places

PICKY = """import torch


class Picky(torch.optim.Optimizer):
    def __init__(self, params, lr=0.01, momentum=-1.0, *, scale: float = (
        2.0
    ), zeal=None):
        if momentum < 0.0 or zeal is not None:
            raise ValueError("momentum")
        super().__init__(params, dict(lr=lr, momentum=momentum, scale=scale))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(p.grad, alpha=-group["lr"] * group["scale"])
"""
# Nothing by the name of a usual option has a value of its own here.
BARE = PICKY.replace("lr=0.01, momentum=-1.0", "zest, ardour, lr=0.01").replace(
    "momentum", "zest"
)


@pytest.fixture
def write(tmp_path):
    def written(text):
        file = tmp_path / "picky.py"
        file.write_text(text)
        return str(file)

    return written


def dux(*arguments):
    return CliRunner().invoke(app, [*arguments])


def test_a_file_whose_defaults_raise_is_accepted_with_others(write):
    file = write(PICKY)

    without = dux("check", file)
    told = dux("check", file, "--option", "momentum=0.9", "--json")

    assert 1 == without.exit_code
    assert 0 == told.exit_code, told.stdout
    [record] = json.loads(told.stdout)
    assert ["it is judged with momentum=0.9"] == [
        note["message"] for note in record["notes"] if note["rule"] == "option"
    ]
    with open(file) as held:
        assert PICKY == held.read()


def test_an_argument_without_a_default_gets_one(write):
    file = write(BARE)

    assert 1 == dux("check", file, "--static").exit_code
    given = ["--option", "zest=0.5", "--option", "ardour=1"]
    assert 0 == dux("check", file, *given).exit_code


def test_every_line_stays_in_its_place():
    options = GivenOptions.of(["scale=3", "lr=1e-4", "zeal='x'"])

    text, notes = options.put_into("picky.py", PICKY)

    assert "params, lr=0.0001, momentum=-1.0, *, scale: float = (\n        3\n" in text
    assert "zeal='x'" in text
    assert len(PICKY.splitlines()) == len(text.splitlines())
    assert {5, 7} == {note.finding.line for note in notes}


def test_fuzz_tries_the_laws_with_it(write):
    file, quick = write(PICKY), ("--examples", "0", "--json")

    [told] = json.loads(dux("fuzz", file, "--option", "momentum=0.9", *quick).stdout)

    assert [] == told["findings"]
    kept = {law["name"] for law in told["laws"] if law["verdict"] == "kept"}
    assert {"moves", "missing gradient"} & kept or len(kept) > 5


def test_a_tool_call_takes_it_as_well(tmp_path):
    answers = Answers(Places(tmp_path))

    told = answers.check(
        PICKY, None, classes=(), beside=(), options=["momentum=0.9"], static=True
    )

    assert told["ok"] and "momentum=0.9" in told["notes"][0]["message"]


BAD = {
    "no value": ("momentum", "no value is given; pass NAME=VALUE"),
    "no literal": ("momentum=high", "'high' is no plain value; pass NAME=VALUE"),
    "a call": ("momentum=float('1')", "is no plain value"),
    "no name": ("0=1", "'0' is no name of an argument"),
    "unknown": ("speed=1", "has an argument of that name; they have lr, momentum, sca"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_that_cannot_be_meant_is_answered_in_one_line(write, case):
    said, words = BAD[case]

    told = dux("check", write(PICKY), "--option", said)

    assert 2 == told.exit_code
    assert words in told.stderr
    assert 1 == len(told.stderr.strip().splitlines())


def test_one_before_an_argument_without_a_default_names_that(write):
    with pytest.raises(BadArgument, match="ardour follows it .*--option ardour=VALUE"):
        GivenOptions.of(["zest=1"]).put_into("picky.py", BARE)


def test_a_rewrite_keeps_the_defaults_of_its_file(write):
    told = dux("check", write(PICKY), "--fix", "--option", "momentum=0.9")

    assert (2, True) == (told.exit_code, "give one of them" in told.stderr)


@pytest.mark.parametrize("command", ["check", "fuzz"])
def test_options_are_for_one_file(write, tmp_path, command):
    other = tmp_path / "other.py"
    other.write_text(PICKY)

    told = dux(command, write(PICKY), str(other), "--option", "momentum=0.9")

    assert (2, True) == (told.exit_code, "is for one file, and 2" in told.stderr)
