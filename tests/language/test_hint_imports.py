"""Imports that only type hints read, and names of torch that no rule ever meets."""

import json

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule


def moved(source):
    """A parameter, (3,), after one step of a rule; its gradient is one everywhere."""
    parameter = one_parameter(3)
    load(source)([parameter]).step()
    return parameter.detach()


HINTED = (
    "def scaled(x: OptFloat, by: float = 2.0) -> OptFloat:\n"
    "    made: State = x * by\n"
    "    return made"
)
IMPORTS = {
    "of a file beside": "from .types import OptFloat, State",
    "of a module that has it not": "from types import OptFloat, State",
    "by other names": "from ..hints import Maybe as OptFloat, Kept as State",
}


@pytest.mark.parametrize("statement", IMPORTS.values(), ids=IMPORTS)
def test_an_import_that_hints_alone_read_goes_with_a_note(statement):
    source = rule("p.sub_(scaled(p.grad))", top=f"{statement}\n{HINTED}")

    report = check(source)

    assert report.ok, report.findings
    [note] = report.notes
    assert "nothing but type hints names it" in note.message
    assert source.splitlines()[note.line - 1] == statement
    assert [-1.0] * 3 == moved(source).tolist()


USED = {
    "called": "OptFloat(p)",
    "an attribute of it": "OptFloat.made",
    "kept": "self.kind = OptFloat",
    "asked": "isinstance(p, OptFloat)",
}


@pytest.mark.parametrize("line", USED.values(), ids=USED)
def test_one_that_a_line_reads_stays_a_finding(line):
    top = f"from .types import OptFloat, State\n{HINTED}"

    report = check(rule(f"scaled(p)\n{line}", top=top))

    assert "import" in {each.rule for each in report.findings}


OTHERS = {
    "that nothing reads": "from .types import Other",
    "of another package": "from jaxtyping import OptFloat\ndef of(x: OptFloat): pass",
    "of everything": "from .types import *\ndef of(x: OptFloat): pass",
}


@pytest.mark.parametrize("top", OTHERS.values(), ids=OTHERS)
def test_any_other_stays_a_finding(top):
    assert not check(rule(top=top)).ok


def test_what_else_an_import_brings_stays():
    top = f"from .types import OptFloat, State, make\n{HINTED}"

    [finding] = check(rule("make(p)", top=top)).findings

    assert "import of .types" in finding.message and "make" in finding.message


def test_a_file_that_only_hints_want_need_not_be_named(tmp_path):
    file = tmp_path / "rule.py"
    top = f"from .types import OptFloat, State\n{HINTED}"
    file.write_text(rule("p.sub_(scaled(p.grad))", top=top))

    told = CliRunner().invoke(app, ["check", str(file), "--static", "--json"])

    [record] = json.loads(told.stdout)
    assert ("accepted", []) == (record["verdict"], record["findings"])


SPARSE = """
made_of = torch.sparse.FloatTensor
def of(p, grad):
    if grad.is_sparse:
        return made_of(grad._indices(), grad._values() * 2.0, grad.size())
    return grad * 3.0
"""


def test_a_branch_for_sparse_gradients_may_make_such_tensors():
    source = rule("p.sub_(of(p, p.grad))", top=SPARSE)

    assert check(source).ok
    assert [-2.0] * 3 == moved(source).tolist()


@pytest.mark.parametrize("name", ["FloatTensor", "DoubleTensor", "LongTensor"])
def test_none_is_ever_made(name):
    source = rule(f"torch.sparse.{name}(torch.ones(1, 3).long(), p, (9,))")

    assert check(source).ok
    with pytest.raises(NotImplementedError, match="gradients are dense here"):
        moved(source)
