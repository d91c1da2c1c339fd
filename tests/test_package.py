"""Importing dux_agent is quick, and its names are there when they are asked for."""

import subprocess
import sys

import pytest

import dux_agent


def in_a_new_process(script):
    return subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(each for each in sys.path if each)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_importing_it_loads_neither_torch_nor_langgraph():
    script = (
        "import sys, dux_agent; "
        "print([m for m in ('torch', 'langgraph', 'langchain_core') "
        "if m in sys.modules])"
    )

    assert "[]" == in_a_new_process(script).strip()


def test_it_hands_out_its_public_names():
    for name in dux_agent.__all__:
        assert name in dir(dux_agent)
        assert getattr(dux_agent, name).__name__ == name


def test_it_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'detach'"):
        dux_agent.detach  # noqa: B018
