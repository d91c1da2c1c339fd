"""Importing dux_agent is quick, and its names are there when they are asked for."""

import ast
import subprocess
import sys
import tomllib

import pytest

import dux_agent
from tests.modules_table import PACKAGES, REPOSITORY

# Distributions that are not called as what they bring.
DISTRIBUTIONS = {
    "IPython": "ipython",
    "mlflow": "mlflow-skinny",
    "PIL": "pillow",
    "langchain_core": "langchain-core",
    "langchain_openai": "langchain-openai",
    "opentelemetry": "opentelemetry-sdk",
    "sklearn": "scikit-learn",
}


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


@pytest.mark.parametrize("name", ["attach", "tune"])
def test_its_names_draw_no_random_number_of_the_loop(name):
    script = (
        "import random, dux_agent; random.seed(1); state = random.getstate(); "
        f"dux_agent.{name}; print(state == random.getstate())"
    )

    assert "True" == in_a_new_process(script).strip()


def test_it_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'detach'"):
        dux_agent.detach  # noqa: B018


def imported():
    """The packages of others that ours import."""
    found = set()
    for folder in PACKAGES.values():
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {each.name.partition(".")[0] for each in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - set(PACKAGES)


def test_what_is_imported_is_declared():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    declared = {
        line.partition(">")[0].partition("[")[0].strip()
        for lines in (project["dependencies"], *extras)
        for line in lines
    }

    needed = {DISTRIBUTIONS.get(name, name) for name in imported()}

    assert {"torch", "langgraph"} < needed
    assert set() == needed - declared
