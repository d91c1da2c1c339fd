"""What a file says to the world outside, and functions that are read as methods."""

import pytest
import torch

from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.executions import both
from tests.language.test_given_groups import rule, stepped

_INIT = "params, lr=0.5\nsuper().__init__(params, dict(lr=lr))"
_FINE = 'p.sub_(p.grad, alpha=group["lr"])'


def with_line(line, before=""):
    indent = "\n" + " " * 20
    return rule(_INIT, each=line.replace("\n", indent) + indent + _FINE, before=before)


SAYS = {
    "a dump": (
        "if not torch.isfinite(p.grad).all():\n"
        '    os.makedirs("bad", exist_ok=True)\n'
        '    name = f"bad/{uuid.uuid4().hex}.pt"\n'
        "    torch.save(p.grad, os.path.join('bad', name))",
        "import os\nimport uuid\n",
    ),
    "a dump alone": ('torch.save(self.state[p], "state.pt")', ""),
    "a debugger": ("pdb.set_trace()", "import pdb\n"),
    "a debugger by name": (
        "if p.isnan().any():\n    set_trace()",
        "from pdb import set_trace\n",
    ),
}


@both
@pytest.mark.parametrize("name", list(SAYS))
def test_what_writes_to_disk_or_stops_is_left_out_with_what_fed_it(name, execution):
    source = with_line(*SAYS[name])

    report = check(source)

    assert report.ok, report.findings
    assert {"left out"} == {note.rule for note in report.notes}
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


@both
@pytest.mark.parametrize(
    ("line", "before"),
    [
        ('print("norm", 0.5, file=sys.stderr, flush=True)', "import sys\n"),
        ('print("norm", file=err)', "from sys import stderr as err\n"),
        ('sys.stdout.write("norm")\nsys.stdout.flush()', "import sys\n"),
    ],
)
def test_a_rule_prints_to_no_stream_of_its_choice(line, before, execution):
    source = with_line(line, before)

    report = check(source)

    assert report.ok, report.findings
    assert {"left out"} == {note.rule for note in report.notes}
    assert [[-0.5]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize("line", ["x = sys.modules", "print(file=sys.stdin)"])
def test_nothing_else_of_the_interpreter_is_left_out(line):
    assert not check(with_line(line, "import sys\n")).ok


ASKS = {
    "a clock": ("0.5 + time.time()", "import time\n", -0.25),
    "a clock by name": ("1 - perf_counter()", "from time import perf_counter\n", -0.5),
    "get": ('os.environ.get("RULE_RATE", "0.25")', "import os\n", -0.125),
    "getenv": ('os.getenv("RULE_RATE", 0.25)', "import os\n", -0.125),
    "by name": ('environ.get("RULE_RATE", 0.5)', "from os import environ\n", -0.25),
    "no default": ('os.getenv("RULE_RATE") or 1', "import os\n", -0.5),
    "limits": ("min(sys.float_info.max, sys.maxsize, 0.5)", "import sys\n", -0.25),
}


@both
@pytest.mark.parametrize("name", list(ASKS))
def test_a_variable_of_the_environment_is_read_as_unset(name, execution, monkeypatch):
    asked, before, moved = ASKS[name]
    monkeypatch.setenv("RULE_RATE", "8")
    source = rule(
        f"params, lr=0.5\nself.by = float({asked})\n"
        "super().__init__(params, dict(lr=lr))",
        each='p.sub_(p.grad, alpha=group["lr"] * self.by)',
        before=before,
    )

    assert [[moved]] == stepped(source, execution, [[(2, 2)]])
    assert "is read as" in check(source).notes[0].message


@pytest.mark.parametrize(
    ("line", "before"),
    [
        ('open("x", "w").write("x")', ""),
        ('os.system("true")', "import os\n"),
        ("self.path = os.getcwd()", "import os\n"),
        ('self.held = torch.save(p, "x")', ""),
        ('os.environ["RULE"] = "1"', "import os\n"),
        ('self.by = os.environ["RULE"]', "import os\n"),
        ("self.by = os.environ.get", "import os\n"),
        ("self.by = dict(os.environ)", "import os\n"),
        ('os.makedirs("x")\nself.by = os.listdir("x")', "import os\n"),
    ],
)
def test_everything_else_of_the_world_outside_is_refused(line, before):
    assert not check(with_line(line, before)).ok


@both
@pytest.mark.parametrize(
    ("line", "moved"),
    [
        ("torch.neg_(p.grad)", 0.5),
        ("torch.clamp_(p.grad, max=0.5)", -0.25),
        ("torch.sqrt_(torch.abs_(p.grad.mul_(4)))", -1.0),
        ("from torch import zero_", None),
    ],
)
def test_a_function_that_writes_into_its_argument_is_its_method(line, moved, execution):
    source = with_line(line)

    if moved is None:
        assert not check(source).ok
    else:
        assert [[moved]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize("line", ["torch.resize_(p, (4,))", "torch.set_(p, p.grad)"])
def test_one_that_changes_a_shape_is_refused_as_the_method_is(line):
    assert not check(with_line(line)).ok


@both
def test_repeat_is_a_list_whose_end_is_known(execution):
    source = with_line(
        "for each in repeat(0.5, 3): p.add_(each)", "from itertools import repeat\n"
    )

    assert [[1.0]] == stepped(source, execution, [[(2, 2)]])


@pytest.mark.parametrize(
    ("asked", "error"),
    [("repeat(0)", TypeError), ("repeat(0, 10**9)", ValueError)],
)
def test_repeat_without_an_end_or_far_beyond_the_cap_raises(asked, error):
    source = with_line(f"list({asked})", "from itertools import repeat\n")
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)

    with pytest.raises(error):
        load(source)([weight]).step()


@both
def test_out_of_a_decorated_method_of_its_own_is_its_argument(execution):
    source = with_line(
        "torch.mul(p.grad, 3.0, out=p.grad)\nself.halve(p.grad, out=p.grad)"
    ) + (
        "    @torch.no_grad()\n    def halve(self, given, out):\n"
        "        out.copy_(given / 2)\n        return out, given\n"
    )

    assert [[-0.75]] == stepped(source, execution, [[(2, 2)]])


SEEDS = ["torch.manual_seed(0)", "seed = 47\ntorch.cuda.manual_seed_all(seed)"]


@both
@pytest.mark.parametrize("line", SEEDS)
def test_the_seed_of_a_file_is_the_trainings(line, execution):
    source = with_line("pass", before=f"{line}\n")
    state = torch.random.get_rng_state()

    report = check(source)
    moved = stepped(source, execution, [[(2, 2)]])

    assert ["left out"] == [note.rule for note in report.notes]
    assert [[-0.5]] == moved
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("line", ["torch.manual_seed(0)", "time.sleep(1)"])
def test_what_a_step_does_to_the_world_stays_refused(line):
    assert not check(with_line(line, before="import time\n")).ok
