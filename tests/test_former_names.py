"""Modules that have moved can be imported under their former names for one version."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from dux_agent.former_names import FORMER_NAMES

REPOSITORY = Path(__file__).parents[1]
ELSEWHERE = {
    "dux_graphs.offline_rules.plan": "dux_graphs.offline.plan",
    "dux_sandbox.judging": "dux_sandbox.laws.judging",
    "dux_sandbox.lawful": "dux_sandbox.laws",
    "dux_sandbox.lawful.cases": "dux_sandbox.laws.cases",
    "dux_sandbox.trial": "dux_sandbox.dry_runs.side_by_side",
    "dux_sandbox.trying.scratch": "dux_sandbox.dry_runs.scratch",
}
ROOMS = {"dux_agent.record.recorder": "dux_agent.run_folder.recorder"}


@pytest.mark.parametrize(
    ("former", "present"), (FORMER_NAMES | ROOMS | ELSEWHERE).items()
)
def test_a_former_name_gives_the_module_itself_and_warns(former, present, monkeypatch):
    monkeypatch.delitem(sys.modules, former, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{former} is {present} now"):
        module = import_module(former)

    assert module is import_module(present)


def test_names_are_still_imported_from_a_former_module():
    code = (
        "import dux_agent\n"
        "from dux_agent import trace\n"
        ""
        "from dux_graphs.offline import OfflineRules\n"
        "import dux_agent.run_folder.trace as present\n"
        "assert trace is present"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whoever_looks_for_a_package_asks_one_finder_of_ours():
    import_module("dux_graphs")

    assert ["FormerModules"] == [
        type(each).__name__ for each in sys.meta_path if "dux" in type(each).__module__
    ]


def test_what_is_no_former_name_is_not_found_by_it():
    with pytest.raises(ModuleNotFoundError, match=r"dux_agent\.never"):
        import_module("dux_agent.never")
    with pytest.raises(ModuleNotFoundError, match=r"dux_agent\.run_folder\.never"):
        import_module("dux_agent.record.never")


def test_no_file_here_uses_a_former_name():
    tables = {"former_names.py", "test_former_names.py", "CHANGELOG.md"}
    names = "|".join(re.escape(name) for name in [*FORMER_NAMES, *ELSEWHERE])
    former = re.compile(rf"(?<![\w.])(?:{names})(?!\w)")
    shown = [each for each in REPOSITORY.iterdir() if not each.name.startswith(".")]
    files = [
        each
        for top in shown
        for each in (top.rglob("*") if top.is_dir() else [top])
        if each.suffix in {".py", ".md", ".toml", ".json"}
    ]

    assert [] == [
        (str(file), line)
        for file in files
        if file.name not in tables
        and file != REPOSITORY / "sandbox" / "dux_sandbox" / "__init__.py"
        for line in file.read_text(errors="replace").splitlines()
        if former.search(line)
    ]
