"""The pages say what is there: modules, commands, files, targets."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from dux_agent.cli import app
from dux_agent.run_folder.trace import KINDS
from dux_agent.tasks import TASKS
from tests.modules_table import PACKAGES, PAGE, marks, rows, table

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
README = (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_a_page_names_every_module_and_none_that_is_missing(package):
    begin, end = marks(package)
    page = PAGE.read_text()

    written = page.partition(begin)[2].partition(end)[0]

    assert rows(package)
    assert table(package) == written.strip(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    missing = [link for link in links if not (page.parent / link).exists()]

    assert [] == missing


def test_every_module_that_a_page_names_can_be_found():
    named = {
        name
        for page in PAGES
        for name in re.findall(
            r"`(dux_(?:agent|graphs|prompts|sandbox)(?:\.[a-z_]+)+)", page.read_text()
        )
    }
    known = {name for package in PACKAGES for name in rows(package)}

    # The last word may be a function or a class of the module, or of the package.
    lost = {name for name in named if {name, name.rpartition(".")[0]}.isdisjoint(known)}

    assert named
    assert set() == lost


def test_the_readme_has_every_command_and_no_other():
    commands = set(get_command(app).commands)

    in_table = set(re.findall(r"^\| `dux (\w+)", README, flags=re.MULTILINE))

    assert commands == in_table


def test_every_make_target_that_a_page_names_is_one():
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))

    named = {
        name
        for page in PAGES
        for name in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }

    assert {"demo", "test"} <= named
    assert set() == named - targets


def test_the_tasks_page_has_every_task():
    page = (REPOSITORY / "docs" / "tasks.md").read_text()

    assert set(TASKS) == set(re.findall(r"^\| `(\w+)` \| \S+ ", page, re.MULTILINE))


def test_the_documentation_of_the_trace_names_every_kind():
    page = (REPOSITORY / "docs" / "traces.md").read_text()

    described = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)

    assert set(KINDS) == set(described)


def test_the_readme_shows_a_demo_that_kept_its_bar():
    below = re.search(r"([0-9.]+) % below the control", README)

    assert float(below[1]) >= 40
    assert "offline rules (rule-based, not a language model)" in README
