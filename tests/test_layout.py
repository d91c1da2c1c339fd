"""The shape of the repository: roots, sizes, imports, what a package must hold."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
TOOL = PROJECT["tool"]

ROOTS = [".", "graphs", "sandbox", "prompts"]
PACKAGES = {
    "dux_agent": REPOSITORY / "dux_agent",
    "dux_graphs": REPOSITORY / "graphs" / "dux_graphs",
    "dux_prompts": REPOSITORY / "prompts" / "dux_prompts",
    "dux_sandbox": REPOSITORY / "sandbox" / "dux_sandbox",
}
MODULES = sorted(file for folder in PACKAGES.values() for file in folder.rglob("*.py"))
MOST_LINES = 400

modules = pytest.mark.parametrize(
    "module", MODULES, ids=lambda file: str(file.relative_to(REPOSITORY))
)


def of_mypy(path):
    return path.removeprefix("$MYPY_CONFIG_FILE_DIR").lstrip("/") or "."


@pytest.mark.parametrize(
    ("tool", "roots"),
    [
        ("hatch", TOOL["hatch"]["build"]["targets"]["wheel"]["dev-mode-dirs"]),
        ("pytest", TOOL["pytest"]["ini_options"]["pythonpath"]),
        ("mypy", [of_mypy(path) for path in TOOL["mypy"]["mypy_path"]]),
        ("pyright", TOOL["pyright"]["extraPaths"]),
        ("ruff", TOOL["ruff"]["src"]),
    ],
)
def test_every_tool_knows_the_same_four_roots(tool, roots):
    assert set(ROOTS) == set(roots), tool


def test_every_tool_knows_the_same_four_packages():
    wheel = TOOL["hatch"]["build"]["targets"]["wheel"]["packages"]

    assert set(PACKAGES) == set(TOOL["mypy"]["packages"])
    assert set(PACKAGES) == set(TOOL["importlinter"]["root_packages"])
    assert set(PACKAGES) == set(TOOL["coverage"]["run"]["source_pkgs"])
    assert set(PACKAGES.values()) == {REPOSITORY / package for package in wheel}


def test_every_folder_of_modules_is_a_package():
    folders = {module.parent for module in MODULES}

    assert [] == sorted(f for f in folders if not (f / "__init__.py").is_file())


def test_no_folder_of_modules_is_ignored():
    # hatch leaves out of a wheel, and ruff unread, what git ignores.
    lines = (REPOSITORY / ".gitignore").read_text().splitlines()
    anywhere = {line.rstrip("/") for line in lines if not line.startswith(("/", "#"))}
    names = {
        part
        for module in MODULES
        for part in module.relative_to(REPOSITORY).parts
        if part != "__pycache__"
    }

    assert set() == anywhere & names


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package):
    assert (PACKAGES[package] / "py.typed").is_file()


@modules
def test_no_module_is_too_long_for_one_idea(module):
    lines = len(module.read_text().splitlines())

    assert lines <= MOST_LINES


@modules
def test_every_module_says_what_it_is_for(module):
    tree = ast.parse(module.read_text())

    assert ast.get_docstring(tree)


@modules
def test_no_import_is_relative(module):
    imports = [
        node
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ImportFrom)
    ]

    assert [] == [node.lineno for node in imports if node.level]


def test_no_module_has_a_name_that_says_nothing():
    names = {module.stem for module in MODULES}

    assert set() == names & {"utils", "helpers", "common", "base", "misc"}


def test_no_module_shadows_a_function_that_its_package_hands_out():
    # `import dux_sandbox.check` would replace the function dux_sandbox.check.
    taken = {"dux_sandbox": {"check", "load", "dry_run"}, "dux_agent": {"attach"}}

    for package, names in taken.items():
        assert set() == names & {file.stem for file in PACKAGES[package].glob("*.py")}


def test_the_constraints_pin_every_dependency_without_a_local_version():
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and line[0] != "#")
    optional = PROJECT["project"]["optional-dependencies"]
    wanted = [
        *PROJECT["project"]["dependencies"],
        *optional["store"],
        *optional["tasks"],
        *PROJECT["dependency-groups"]["dev"],
    ]

    names = {re.split(r"[<>=;~ \[]", one)[0].lower() for one in wanted}

    assert set() == names - {name.lower() for name in pins}
    assert "2.13.0" == pins["torch"]
    assert [] == [version for version in pins.values() if "+" in version]
