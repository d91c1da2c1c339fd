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
ZOO = REPOSITORY / "sandbox" / "dux_sandbox" / "zoo" / "sources"  # text, never imported
MODULES = sorted(
    file
    for folder in PACKAGES.values()
    for file in folder.rglob("*.py")
    if file.parent != ZOO
)
MANY_LINES, MOST_LINES, MOST_OF_BODY = 300, 400, 50

# Modules of more than 300 lines, and the one idea that each of them has.
LONG = {
    "dux_agent/agent.py": "the public face: half of it says what each call does",
    "dux_agent/attaching.py": "`attach`: most of it says what each argument is",
    "dux_agent/deciding/decider.py": "one decision, here or in the background",
    "dux_agent/live/schedule.py": "who wrote a rate, and what the live one is then",
    "dux_agent/run_folder/folder.py": "what a run folder holds, file by file",
    "dux_agent/run_folder/trace.py": "the events, each kind with what it holds",
    "dux_agent/runs/plan.py": "the table of options of a run, a line each",
    "prompts/dux_prompts/brief.py": "each prompt, with the names its template gets",
    "sandbox/dux_sandbox/language/vocabulary.py": "tables: what a source may name",
    "sandbox/dux_sandbox/process/isolated.py": "a rule in a child, as `RunningRule`",
    "sandbox/dux_sandbox/process/worker.py": "what a child answers to each message",
    "sandbox/dux_sandbox/replaying/rule.py": "a recorded rule, as `RunningRule`",
    "sandbox/dux_sandbox/runtime/guards.py": "the guards by the names of the compiler",
    "sandbox/dux_sandbox/runtime/plain_builtins.py": "bounded twins of builtins",
    "sandbox/dux_sandbox/runtime/tensor_caps.py": "a table: what each call would make",
    "sandbox/dux_sandbox/runtime/writing.py": "every way in which a source writes",
}


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


def test_no_module_is_too_long_for_one_idea():
    lengths = {
        str(module.relative_to(REPOSITORY)): len(module.read_text().splitlines())
        for module in MODULES
    }

    assert LONG.keys() == {name for name, n in lengths.items() if n > MANY_LINES}
    assert [] == [name for name, n in lengths.items() if n > MOST_LINES]


def test_no_group_of_an_expression_is_repeated_possessively():
    # Up to Python 3.11.4 it ends too soon (gh-106052): every docstring was refused.
    possessive = re.compile(r"^[^#]*\)[*+?]\+", re.MULTILINE)

    assert [] == [m for m in MODULES if possessive.search(m.read_text())]


def lines_of_body(function):
    """How many lines it has, its own and nested signatures and docstrings aside."""
    beside = set()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            told = ast.get_docstring(node) is not None and len(node.body) > 1
            begin = node.body[1 if told else 0]
            above = [each.lineno for each in getattr(begin, "decorator_list", [])]
            nested = [each.lineno for each in node.decorator_list]
            first = min([node.lineno, *nested])
            beside |= set(range(first, min([begin.lineno, *above])))
    return len(set(range(function.lineno, function.end_lineno + 1)) - beside)


def test_no_function_has_more_than_50_lines():
    long = {
        f"{module.relative_to(REPOSITORY)} {node.name}": lines_of_body(node)
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {} == {name: lines for name, lines in long.items() if lines > MOST_OF_BODY}


def test_every_module_says_what_it_is_for():
    trees = {module: ast.parse(module.read_text()) for module in MODULES}

    assert [] == [name for name, tree in trees.items() if not ast.get_docstring(tree)]


def test_no_import_is_relative():
    relative = [
        f"{module}:{node.lineno}"
        for module in MODULES
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]

    assert [] == relative


def modules_by_name():
    """Each module's file by its dotted name, a package's by the package's."""
    return {
        ".".join([package, *file.relative_to(folder).with_suffix("").parts])
        .removesuffix(".__init__"): file
        for package, folder in PACKAGES.items()
        for file in folder.rglob("*.py")
    }  # fmt: skip


def imported_by(file, known):
    """The modules of ours that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name in known)
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                full = f"{node.module}.{one.name}"
                yield from (name for name in (full, node.module) if name in known)


def test_no_imports_go_in_a_circle():
    # Also those in functions and for types only: who needs whom is then one way down.
    modules = modules_by_name()
    left = {
        name: set(imported_by(file, modules)) - {name, name.rpartition(".")[0]}
        for name, file in modules.items()
    }

    while ready := [name for name, needs in left.items() if not needs & left.keys()]:
        left = {name: needs for name, needs in left.items() if name not in ready}

    assert {} == left


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
