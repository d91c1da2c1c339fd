"""Run folders to be tampered with, and how the commands answer to them."""

from __future__ import annotations

import unicodedata

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app
from dux_agent.runs.training import train
from tests.dying import Died, dying


def dux(*arguments):
    """A command, its output and how it ended."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def contents(folder):
    """Every file of a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def ended_in_words(result):
    """No traceback, and nothing that a terminal would obey."""
    assert result.exit_code in (0, 1, 2), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(
        result.exception
    )
    assert "Traceback" not in result.output
    obeyed = {
        sign
        for sign in result.output
        if unicodedata.category(sign).startswith("C") and sign != "\n"
    }
    assert set() == obeyed


def refused_in_one_line(result, said):
    """Exit code 2 and one line that says why."""
    ended_in_words(result)
    assert 2 == result.exit_code, result.output
    [error] = [line for line in result.stderr.splitlines() if line.startswith("dux:")]
    assert said in error


def run_that_dies(folder):
    """A run that ended after its decision, and has no checkpoint after that."""
    with pytest.raises(Died):
        train(
            "digits",
            run_dir=folder,
            epochs=2,
            seed=4,
            execution="inline",
            on_event=dying(67 + 20),
        )
    return folder
