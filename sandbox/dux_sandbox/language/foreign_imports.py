"""What a source does with an import that is refused: what has to go with it."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import replace

from dux_sandbox.findings import Finding
from dux_sandbox.language.bindings import levels

_MOST_LINES = 8
_Import = ast.Import | ast.ImportFrom


def with_uses(
    findings: tuple[Finding, ...],
    parse: Callable[[], ast.Module],
    where: Callable[[int], str] = str,
) -> tuple[Finding, ...]:
    """The findings, those about an import with the lines that use what it brings.

    Args:
        findings: of a source.
        parse: gives the tree of the source as it was written.
        where: how a line is named.
    """
    if not any(_module_of(finding) for finding in findings):
        return findings
    imports: dict[int, list[_Import]] = {}
    reads: dict[str, set[int]] = {}
    for level in levels(parse()):
        for node in level:
            if isinstance(node, _Import):
                imports.setdefault(node.lineno, []).append(node)
            else:
                _note_read(node, reads)
    return tuple(
        _told(finding, imports.get(finding.line or 0, []), reads, where)
        for finding in findings
    )


def _note_read(node: ast.AST, reads: dict[str, set[int]]) -> None:
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        reads.setdefault(node.id, set()).add(node.lineno)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        path = f"{node.value.id}.{node.attr}"
        reads.setdefault(path, set()).add(node.lineno)


def _told(
    finding: Finding,
    imports: list[_Import],
    reads: dict[str, set[int]],
    where: Callable[[int], str],
) -> Finding:
    named = _module_of(finding)
    names = list(
        dict.fromkeys(name for each in imports for name in _brought(each, named))
    )
    if not names:
        return finding
    used = [name for name in names if reads.get(name)]
    if not used:
        verb = "is" if len(names) == 1 else "are"
        said = f"{_listed(names)} {verb} not used"
        return replace(
            finding,
            message=f"{finding.message}; {said}",
            instead=f"take the import out; {finding.instead}",
        )
    lines = sorted({line for name in used for line in reads[name]})
    verb = "is" if len(used) == 1 else "are"
    at = "line" if len(lines) == 1 else "lines"
    return replace(
        finding,
        message=f"{finding.message}; {_listed(used)} {verb} used in {at} "
        f"{_listed([where(line) for line in lines])}",
        instead=f"take out the import and what uses it; {finding.instead}",
    )


def _module_of(finding: Finding) -> str:
    """What a finding says cannot be imported; "" where it is about something else."""
    if finding.rule == "import" and finding.message.startswith("import of "):
        return finding.message.removeprefix("import of ")
    if finding.rule == "attribute" and finding.message.endswith(" is not available"):
        return finding.message.removesuffix(" is not available")
    return ""


def _brought(node: _Import, named: str) -> Iterator[str]:
    """The names by which the source uses the module that a finding names."""
    if isinstance(node, ast.ImportFrom):
        if "." * node.level + (node.module or "") == named:
            yield from (alias.asname or alias.name for alias in node.names)
        for alias in node.names:
            if f"{node.module}.{alias.name}" == named:
                yield alias.asname or alias.name
        return
    for alias in node.names:
        if alias.name == named:
            # `import a.b` binds a: of that, only what is read of a.b is meant.
            yield alias.asname or ".".join(alias.name.split(".")[:2])


def _listed(names: list[str]) -> str:
    shown = names[:_MOST_LINES]
    if len(names) > len(shown):
        shown = [*shown, f"{len(names) - len(shown)} more"]
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
