"""What a finding says to do, where a file beside the one that is checked would help."""

import ast
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace

from dux_agent.checking.beside import Lying, wanted_beside
from dux_agent.checking.strangers import FROM
from dux_agent.checking.vetted import Told, Vetted
from dux_agent.checking.vetting import read_source
from dux_agent.errors import BadArgument
from dux_sandbox.gathering.outline import parsed

# More files than these are told as the folder that holds them.
_MOST_NAMED = 4


def with_advice(vetted: Vetted, text: str) -> Vetted:
    """What was found, with the options that name missing files, where those are there.

    Files round the one that was judged are looked at as far as it uses them; nothing
    of them is run.

    Args:
        vetted: what was found in a file.
        text: what that holds.
    """
    advice = _Advice(vetted.file, text)
    classes = tuple(
        replace(one, findings=tuple(map(advice.on, one.findings)))
        for one in vetted.classes
    )
    return replace(vetted, classes=classes, about=tuple(map(advice.on, vetted.about)))


class _Advice:
    def __init__(self, file: str, text: str) -> None:
        self._file = file
        self._text = text
        self._lying = Lying(file)
        self._command = ""

    def on(self, told: Told) -> Told:
        """A finding that says what to add, where it is about a file that lies there."""
        modules = self._modules(told)
        every = (self._lying.find(told.file, module) for module in modules)
        found = next(filter(None, every), None)
        if found is None:
            return told
        self._command = self._command or self._with(found)
        return Told(told.file, replace(told.finding, instead=self._command))

    def _with(self, found: str) -> str:
        names = wanted_beside(self._file, self._text) or (found,)
        if len(names) > _MOST_NAMED:
            holding = os.path.commonpath([os.path.abspath(each) for each in names])
            names = (
                holding if os.path.isabs(self._file) else os.path.relpath(holding),
            )
        options = " ".join(f"--with {shlex.quote(each)}" for each in names)
        return (
            f"judge what it imports with it: dux check {shlex.quote(self._file)} "
            f"{options}"
        )

    def _modules(self, told: Told) -> list[str]:
        """The modules that a finding is about, their dots before them."""
        message = told.finding.message
        if told.finding.rule == "import":
            return list(self._imported(told.file, told.finding.line))
        if told.finding.rule == "contract" and FROM in message:
            return [message.rpartition(FROM)[2]]
        return []

    def _imported(self, file: str, line: int | None) -> Iterator[str]:
        """The modules that the imports on a line of a file may mean."""
        try:
            text = self._text if file == self._file else read_source(file)
        except BadArgument:
            return
        tree = parsed(text)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import) and node.lineno == line:
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.lineno == line:
                start = "." * node.level + (node.module or "")
                yield start
                dot = "." if node.module else ""
                yield from (f"{start}{dot}{alias.name}" for alias in node.names)
