"""Golden trajectories: recorded once, and compared across versions of a rule."""

import json
import os
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_sandbox.golden import PROBLEMS, STEPS, difference, is_trajectory, trajectory
from tests.law_mutants import ADAM, SGD, rule_of

QUICK = ["--examples", "0", "--json"]


@pytest.fixture
def dux(tmp_path):
    """`dux fuzz` on texts, with one golden file: exit code, what is told of each."""

    def fuzz(*texts, golden="golden.json"):
        files = []
        for at, text in enumerate(texts):
            files.append(tmp_path / f"rule{at}.py")
            files[-1].write_text(text)
        arguments = [*map(str, files), "--golden", str(tmp_path / golden)]
        result = CliRunner().invoke(app, ["fuzz", *arguments, *QUICK])
        told = json.loads(result.stdout) if result.exit_code < 2 else result.stderr
        return result.exit_code, told

    return fuzz


def later(text):
    """The rule with another rate from its 31st step on."""
    return text.replace(
        'value=-group["lr"]', 'value=-group["lr"] * (1.001 if t > 30 else 1)'
    )


@pytest.mark.parametrize("rule", [torch.optim.Adam, torch.optim.Muon, rule_of(SGD)])
def test_a_trajectory_has_fifty_steps_on_three_problems_and_comes_again(rule):
    one, two = trajectory(rule), trajectory(rule)

    assert 3 == len(PROBLEMS) and 50 == STEPS
    assert is_trajectory(json.loads(json.dumps(one)))
    assert "" == difference(one, two) and one == two


def test_a_trajectory_leaves_the_global_random_numbers_alone():
    torch.manual_seed(4)
    before = torch.get_rng_state()

    trajectory(torch.optim.Adam)

    assert torch.equal(before, torch.get_rng_state())


def test_the_first_step_that_differs_is_named():
    told = difference(trajectory(rule_of(ADAM)), trajectory(rule_of(later(ADAM))))

    assert told.startswith("bowl, step 31: weight 0 is ")


def test_rounding_is_no_difference_and_nan_is_nan():
    made = trajectory(rule_of(SGD))
    near = {
        k: [[v * (1 + 1e-7) for v in row] for row in rows] for k, rows in made.items()
    }
    lost = {k: [[float("nan")] * len(row) for row in rows] for k, rows in made.items()}

    assert "" == difference(made, near)
    assert "" == difference(lost, lost)
    assert difference(made, lost).startswith("bowl, step 1: the loss is nan")


def test_a_file_that_is_missing_is_recorded_and_then_compared(dux, tmp_path):
    first, [recorded] = dux(ADAM)
    kept = (tmp_path / "golden.json").read_bytes()
    again, [same] = dux(ADAM)
    other, [differs] = dux(later(ADAM))

    assert (0, 0, 1) == (first, again, other)
    assert recorded["golden"]["message"].startswith("recorded in ")
    assert same["golden"]["message"].startswith("the same 50 steps")
    assert differs["golden"]["message"].startswith("bowl, step 31: weight 0 is ")
    assert all(law["ok"] for law in differs["laws"])
    assert kept == (tmp_path / "golden.json").read_bytes()


def test_of_several_files_the_first_is_recorded_and_the_others_are_compared(dux):
    code, told = dux(ADAM, ADAM, later(ADAM))

    assert 1 == code
    assert [True, True, False] == [each["golden"]["ok"] for each in told]


def test_a_rule_that_raises_is_told_and_nothing_is_recorded(dux, tmp_path):
    code, [told] = dux(
        SGD.replace("d = p.grad\n", "d = p.grad\n" + 16 * " " + "1 / 0\n")
    )

    assert 1 == code
    assert "could not be run: it raised ZeroDivisionError" in told["golden"]["message"]
    assert not (tmp_path / "golden.json").exists()


def test_a_source_that_is_refused_is_not_run_and_nothing_is_recorded(dux, tmp_path):
    code, [told] = dux("import os\n" + SGD)

    assert (1, None) == (code, told["golden"])
    assert not (tmp_path / "golden.json").exists()


ODD = [
    *("", "[]", '{"format": 1}', '{"format": 9}', "\x00", "[" * 100_000),
    json.dumps({"format": 1, "torch": "2" * 2**20}),
]


@pytest.mark.parametrize("text", ODD)
def test_a_file_that_holds_something_else_ends_in_2_and_stays(dux, tmp_path, text):
    (tmp_path / "golden.json").write_text(text)

    code, error = dux(SGD)

    assert 2 == code and "holds no golden trajectory" in error
    assert text == (tmp_path / "golden.json").read_text()


@pytest.mark.parametrize("made", [Path.mkdir, os.mkfifo])
def test_a_file_that_cannot_be_read_ends_in_2_and_says_what_to_do(dux, tmp_path, made):
    made(tmp_path / "golden.json")

    code, error = dux(SGD)

    assert 2 == code and "wrote, or none, was wanted; name another." in error
    assert "Errno" not in error and "codec" not in error


def test_a_folder_that_is_missing_ends_in_2(dux):
    code, error = dux(SGD, golden="nowhere/golden.json")

    assert 2 == code and "there is no folder" in error


def test_a_whole_number_wider_than_any_float_is_no_step():
    made = trajectory(rule_of(SGD))
    made["bowl"][3][1] = 10**400

    assert not is_trajectory(made)
