"""What a figure hangs on beside its arguments, as a digest: code, versions, files."""

import ast
import hashlib
import platform
from collections.abc import Iterable
from importlib import import_module, metadata
from pathlib import Path


def code_digest(
    modules: Iterable[str],
    packages: Iterable[str] = (),
    files: Iterable[Path] = (),
) -> str:
    """A digest, hexadecimal, that differs where a figure could.

    Comments and docstrings are no code; Python's version, and the versions of the
    distributions, count.

    Args:
        modules: of this project, by name; of a package all that lie in it.
        packages: distributions; one that is not installed counts as such.
        files: data that are read; one that is not there counts as such.
    """
    told = [f"python {platform.python_version()}"]
    told += [f"{each} {_code_of(each)}" for each in sorted(modules)]
    told += [f"{each} {_version(each)}" for each in sorted(packages)]
    told += [f"{each.name} {_content(each)}" for each in sorted(files)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def versions(*packages: str) -> dict[str, str]:
    """Of Python, of the machine, and of distributions, as a page says them."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        **{each: _version(each) for each in packages},
    }


def _code_of(name: str) -> str:
    found = import_module(name).__file__
    assert found is not None
    path = Path(found)
    sources = [path]
    if path.name == "__init__.py":
        sources = sorted(path.parent.rglob("*.py"))
    held = hashlib.sha256()
    for source in sources:
        tree = ast.parse(source.read_bytes())
        for node in ast.walk(tree):
            _drop_docstring(node)
        held.update(f"{source.name}\n{ast.dump(tree)}\n".encode())
    return held.hexdigest()


def _drop_docstring(node: ast.AST) -> None:
    body = getattr(node, "body", None)
    if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
        if isinstance(body[0].value, ast.Constant):
            body[0].value.value = ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _content(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "not there"
