"""Shows that a rewrite takes the steps of the file that it was made of."""

import ast
import os
from ast import ClassDef
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from dux_agent.checking.reading import Read
from dux_agent.errors import DuxError
from dux_sandbox.gathering.gathered import Gathered, Origin
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.gathering.outline import Outline, lines_of, outline
from dux_sandbox.gathering.slicing import only_needed
from dux_sandbox.language.contract import lineage
from dux_sandbox.mending.mend import Mended
from dux_sandbox.mending.signatures import usual_of
from dux_sandbox.process.spawning import IsolationUnavailable
from dux_sandbox.same_steps import (
    CannotRun,
    Given,
    PlainRun,
    difference,
    run_plainly,
    stepless,
)

# What a class raises for anybody, whatever it is given.
_BROKEN = ("NameError: ", "TypeError: super(type, obj): obj ")


@dataclass(frozen=True)
class Proof:
    """What a comparison showed.

    Attributes:
        told: how both were compared, in one sentence.
        trouble: why nothing is shown; "" where both take the same steps.
        unseen: places of the file whose rewrite no comparison came past.
    """

    told: str = ""
    trouble: str = ""
    unseen: tuple[Origin, ...] = ()


def proof_of(
    held: Read, files: Sequence[SourceFile], target: str, mended: Mended
) -> Proof:
    """Run a file and its rewrite under plain torch, each in a locked process.

    Args:
        held: the file as it was read.
        files: the file and those that it may import.
        target: what the rewrite would be called.
        mended: the rewrite.

    Raises:
        DuxError: no such process can be had on this system.
    """
    given = _given(held)
    try:
        before, how = _run_before(held, files, given)
        idle = stepless(before)
        if idle:
            return Proof(trouble=f"under plain torch {idle}")
        text = SourceFile(os.path.abspath(target), mended.source.text)
        after = run_plainly([text], given, watch=True)
    except CannotRun as error:
        return Proof(trouble=f"both could not be compared: {error}")
    except IsolationUnavailable as error:
        raise DuxError(f"{error}; --fix compares in a process of its own.") from None
    parts = difference(before, after)
    if parts:
        return Proof(trouble=f"the rewrite takes other steps: {parts}")
    unseen = tuple(_unseen(mended, after))
    if unseen:
        lines = ", ".join(str(line) for _, line in unseen)
        return Proof(
            trouble=f"no comparison came past line {lines}, which is rewritten",
            unseen=unseen,
        )
    count = sum(len(episodes) for episodes in before.episodes.values())
    told = f"the same steps to the last bit in {count} runs under plain torch"
    if before.missing:
        told += f", with stand-ins for {' and '.join(before.missing)}"
    if any(word in held.text for word in ("torch.compile", "torch.jit")):
        told += ", uncompiled"
    return Proof(told + how)


def values_of(held: Read, names: Sequence[str]) -> Mapping[str, str]:
    """What constants of a file are, as literals, seen in a locked process.

    Raises:
        DuxError: no such process can be had on this system.
    """
    file = SourceFile(os.path.abspath(held.file), held.whole.text)
    try:
        return run_plainly([file], {}, values=names).values
    except CannotRun:
        return {}
    except IsolationUnavailable as error:
        raise DuxError(f"{error}; --fix runs in a process of its own.") from None


def idle_in(held: Read) -> Mapping[str, str]:
    """What refused classes of a file raise that step nowhere under plain torch.

    Only of names that are bound nowhere and of `super()` of another class, and only
    beside a class that is accepted: the file has something else to offer, and whoever
    steps such a class learns no more.

    Raises:
        DuxError: no such process can be had on this system.
    """
    refused = {part.name for part in held.parts if not part.report.ok}
    given = {name: it for name, it in _given(held).items() if name in refused}
    if not given or len(refused) == len(held.parts) or held.signs:
        return {}
    file = SourceFile(os.path.abspath(held.file), held.whole.text)
    try:
        run = run_plainly([file], given)
    except CannotRun:
        return {}
    except IsolationUnavailable as error:
        raise DuxError(f"{error}; --fix runs in a process of its own.") from None
    found = {}
    for name in given:
        raised = [said for _, said in run.episodes.get(name, {}).values()]
        broken = all(said.startswith(_BROKEN) for said in raised)
        if raised and broken and not _steps(run, name):
            found[name] = raised[0]
    return found


def _run_before(
    held: Read, files: Sequence[SourceFile], given: Given
) -> tuple[PlainRun, str]:
    """The file itself; what its classes use of it where the whole cannot be run."""
    named = [_placed(file) for file in files]
    why = "a script is not run"
    if not held.signs:
        try:
            run = run_plainly(named, given)
            if all(_steps(run, name) for name in given):
                return run, ""
            why = "as a whole it takes no steps"
        except CannotRun as error:
            why = f"as a whole it could not be run: {error}"
    about = outline(held.text)
    if about is None:
        raise CannotRun(why)
    lines = only_needed(Gathered.of(held.file, held.text), about, list(given))
    run = run_plainly([SourceFile(named[0].name, lines.text), *named[1:]], given)
    return run, f"; of the file, what its optimizers use was run ({why})"


def _placed(file: SourceFile) -> SourceFile:
    """A file as another process finds it."""
    folder = None if file.folder is None else os.path.abspath(file.folder)
    return replace(file, name=os.path.abspath(file.name), folder=folder)


def _steps(run: PlainRun, name: str) -> bool:
    return any(rows for rows, _ in run.episodes.get(name, {}).values())


def _given(held: Read) -> dict[str, dict[str, str]]:
    """Usual values for the arguments of each class that have no default."""
    made: dict[str, dict[str, str]] = {}
    for part in held.parts:
        if part.name is not None and held.about is not None:
            made[part.name] = _usual(held.about, part.name)
    return made


def _usual(about: Outline, name: str) -> dict[str, str]:
    # As they are written: what the static check reads has defaults filled in.
    classes = [each for each in about.tree.body if isinstance(each, ClassDef)]
    written = {each.name: each for each in classes}
    for node in lineage(name, about.bindings):
        found = usual_of(written.get(node.name, node))
        if found is not None:
            return found
    return {}


def _unseen(mended: Mended, run: PlainRun) -> list[Origin]:
    """Where something was rewritten that a step may come past, and none did.

    What no class uses is in nobody's way.
    """
    run_lines = run.lines - set(_passed_over(mended.source.text, run))
    run_lines |= _of_no_class(mended.source.text, list(run.episodes))
    at: dict[Origin, set[int]] = {}
    for line, origin in enumerate(mended.source.origins, 1):
        at.setdefault(origin, set()).add(line)
    return [
        change.origin
        for change in mended.changes
        if change.past is not None and not at.get(change.past, set()) & run_lines
    ]


def _of_no_class(text: str, names: Sequence[str]) -> set[int]:
    """The lines of functions at the top level that none of these classes uses."""
    about = outline(text)
    if about is None:
        return set()
    needed = about.needed(names)
    return {
        line
        for each in about.tree.body
        if isinstance(each, ast.FunctionDef) and each not in needed
        for line in lines_of(each)
    }


def _passed_over(text: str, run: PlainRun) -> Iterator[int]:
    """Lines with a part that may be computed or not, and was not in any run.

    Only parts that call or read something: a rewrite is never a mere number.
    """
    for node in ast.walk(ast.parse(text)):
        parts: list[ast.expr] = []
        if isinstance(node, ast.IfExp):
            parts = [node.body, node.orelse]
        elif isinstance(node, ast.BoolOp):
            parts = node.values[1:]
        elif isinstance(node, ast.Lambda):
            parts = [node.body]
        elif isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            parts = [node.elt]
        for part in parts:
            begin = part.lineno, part.col_offset
            end = part.end_lineno or part.lineno, part.end_col_offset or 0
            says = any(isinstance(e, (ast.Call, ast.Attribute)) for e in ast.walk(part))
            if says and not any(begin <= place < end for place in run.places):
                yield from range(begin[0], end[0] + 1)
