"""Decorators that only speed a function up, and those that no rule may have."""

import ast
from collections.abc import Callable, Iterable

from dux_sandbox.findings import Finding
from dux_sandbox.gathering.outline import lines_of
from dux_sandbox.gathering.text_edits import Edit
from dux_sandbox.language.bindings import aliases_in, path_of
from dux_sandbox.language.idiom_names import SPEED
from dux_sandbox.mending.draft import Draft, Rewrite, Statements

_GRADLESS = "torch.no_grad()"
_KEPT = frozenset(
    """torch.no_grad torch.enable_grad staticmethod classmethod property
    dataclasses.dataclass torch.optim.optimizer._use_grad_for_differentiable""".split()
)


def speeding(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Decorators that compile or cache."""
    return _taken_off(draft, lambda line, path: path in SPEED)


def refused(draft: Draft, findings: Iterable[Finding]) -> Rewrite:
    """Decorators that a finding is about, and those of what is not at hand.

    A finding may be about the decorator or, where the source defines it, within it.
    """
    lines = draft.at(findings)
    own = {
        each.name
        for each in draft.tree.body
        if isinstance(each, ast.FunctionDef) and lines & set(lines_of(each))
    }
    classes = {
        finding.line for finding in findings if finding.message == "a class decorator"
    }

    def goes(line: int, path: str) -> bool:
        meant = line in lines or line in classes or path in own
        return path not in _KEPT and meant

    return _taken_off(draft, goes)


def _taken_off(draft: Draft, goes: Callable[[int, str], bool]) -> Rewrite:
    aliases = aliases_in(draft.tree)
    gradless = _gradless(draft.tree) if aliases.get("torch") == "torch" else set()
    edits: list[Edit] = []
    told: list[tuple[int, str, int | None]] = []
    for node in ast.walk(draft.tree):
        if not isinstance(node, Statements):
            continue
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            path = path_of(called, aliases) or ast.unparse(called)
            at = decorator.lineno
            on_class = isinstance(node, ast.ClassDef) and goes(node.lineno, path)
            if not draft.may_touch(at) or not (goes(at, path) or on_class):
                continue
            end = (decorator.end_lineno or at, decorator.end_col_offset or 0)
            begin = draft.source.lines[at - 1].encode()[: decorator.col_offset]
            put = _GRADLESS if path in gradless else ""
            edits.append(Edit((at, begin.rfind(b"@")), end, put and f"@{put}"))
            what = f"the decorator {path} is taken off {node.name}"
            what += f" for {put}" if put else ""
            # A compiler changes no step; a cache may, of what draws or counts.
            quick = path in SPEED and path.startswith("torch.")
            past = None if quick else _first_run(node)
            told.append((at, what, past))
    return Rewrite(tuple(edits), (), tuple(told))


def _gradless(tree: ast.Module) -> set[str]:
    """The file's own decorators that turn gradients off or on, as torch's own does."""
    return {
        each.name
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        and any(
            isinstance(part, ast.Attribute) and part.attr == "set_grad_enabled"
            for part in ast.walk(each)
        )
    }


def _first_run(node: ast.stmt) -> int | None:
    """The first line that is run when a function is called; None for a class."""
    if isinstance(node, ast.ClassDef):
        return None
    body: list[ast.stmt] = getattr(node, "body", [])
    documented = isinstance(body[0], ast.Expr) and isinstance(
        body[0].value, ast.Constant
    )
    return body[1 if documented and len(body) > 1 else 0].lineno
