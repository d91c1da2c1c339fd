"""The table of modules in docs/modules.md, made from their docstrings.

python -m tests.modules_table       writes it anew, from the repository's root
"""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "modules.md"

# Floor by floor, from the top.
PACKAGES = {
    "dux_agent": REPOSITORY / "dux_agent",
    "dux_graphs": REPOSITORY / "graphs" / "dux_graphs",
    "dux_prompts": REPOSITORY / "prompts" / "dux_prompts",
    "dux_sandbox": REPOSITORY / "sandbox" / "dux_sandbox",
}


def first_sentence(file):
    """The first paragraph of a module's docstring, on one line."""
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def module_name(package, file):
    parts = [package, *file.relative_to(PACKAGES[package]).with_suffix("").parts]
    return ".".join(part for part in parts if part != "__init__")


def rows(package):
    """module -> what it is for, in alphabetical order."""
    files = sorted(PACKAGES[package].rglob("*.py"))
    return {module_name(package, file): first_sentence(file) for file in files}


def table(package):
    lines = ["| module | what it is for |", "| --- | --- |"]
    lines += [f"| `{name}` | {text} |" for name, text in rows(package).items()]
    return "\n".join(lines)


def marks(package):
    return f"<!-- modules of {package} -->", f"<!-- end of {package} -->"


def with_tables(text):
    """The page with each package's table between its marks."""
    for package in PACKAGES:
        begin, end = marks(package)
        before, _, rest = text.partition(begin)
        after = rest.partition(end)[2]
        text = f"{before}{begin}\n{table(package)}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
