"""Importing dux_agent is quick, and its names are there when they are asked for."""

import ast
import os
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


# Behind a door that says what to install; the plugin and the strategies are for those
# who have the package.
BEHIND_A_DOOR = {
    "dux_agent.integrations.lightning_trainer",
    "dux_agent.integrations.optuna_space",
    "dux_agent.run_folder.decision_store",
    "dux_agent.tasks.array_cache",
    "dux_agent.tasks.imdb",
    "dux_agent.tasks.mnist",
    "dux_agent.tool_server.server",
    "dux_sandbox.laws.drawing",
    "dux_sandbox.laws.strategies",
    "dux_sandbox.pytest_plugin",
    "dux_sandbox.strategies",
}


def in_a_plain_install(*arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.plain_install", *arguments],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": ":".join(each for each in sys.path if each)},
    )


def test_without_any_extra_every_module_is_there_or_says_what_to_install():
    ended = in_a_plain_install()

    assert 0 == ended.returncode, ended.stderr
    kinds = dict(line.split("\t")[:2] for line in ended.stdout.splitlines())
    without_words = {name for name, kind in kinds.items() if kind != "MissingExtra"}
    assert {"dux_agent.integrations.lightning", "dux_agent.integrations.ray"} < set(
        kinds
    )
    assert BEHIND_A_DOOR == without_words


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("run digits --lm offline", "tasks"),
        ("run sine --lm offline", "store"),
        ("tune svm:digits --budget 3", "tune"),
        ("fuzz tests/corpus/benign/radam.py", "fuzz"),
        ("mcp", "mcp"),
    ],
)
def test_without_any_extra_a_command_says_what_to_install(command, extra):
    ended = in_a_plain_install(*command.split())

    assert 2 == ended.returncode
    assert f"pip install 'dux-agent[{extra}]'" in ended.stderr
    assert "Traceback" not in ended.stderr
