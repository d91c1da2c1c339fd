"""Files that go with the one that is checked: those named, and those that lie there."""

import os
from collections.abc import Sequence
from operator import attrgetter

from dux_agent.checking.folders import texts_in
from dux_agent.checking.vetting import read_source
from dux_agent.errors import BadArgument
from dux_sandbox.gathering.joining import join
from dux_sandbox.gathering.modules import Files, SourceFile
from dux_sandbox.gathering.reading import CannotJoin

# How far above a file what it imports is looked for.
_LEVELS = 6


def files_beside(paths: Sequence[str]) -> list[SourceFile]:
    """The files of `--with`: those named, and every Python file of a named folder.

    Raises:
        BadArgument: one cannot be read, or a folder holds none, or too much.
    """
    found: list[SourceFile] = []
    for path in paths:
        if not os.path.isdir(path):
            found.append(SourceFile(path, read_source(path)))
            continue
        found += [
            SourceFile(each, text, named=False, folder=path)
            for each, text in texts_in(path)
            if isinstance(text, str)
        ]
    # A file that is named by itself as well is named.
    return list(
        {file.parts: file for file in sorted(found, key=attrgetter("named"))}.values()
    )


def wanted_beside(file: str, text: str) -> tuple[str, ...]:
    """The files that lie round a file and of which it uses something, given or not.

    They are read as far as that is needed; nothing of them is run. Empty where they
    cannot be made one source.
    """
    try:
        return join(SourceFile(file, text), [], Lying(file)).needed
    except CannotJoin:
        return ()


class Lying:
    """The files that lie round one file, found by their dotted path."""

    def __init__(self, file: str) -> None:
        """`file`: as it was named; the others are named alike."""
        self._relative = not os.path.isabs(file)
        folder = os.path.dirname(os.path.abspath(file)).split(os.sep)
        self._top = tuple(folder[: max(2, len(folder) - _LEVELS)])

    def find(self, importer: str, module: str) -> str | None:
        """The file that a module is, its dots before it; None without one."""
        bare = module.lstrip(".")
        level = len(module) - len(bare)
        file = SourceFile(importer, "", named=False)
        found = Files([file], self).find(file, level, bare)
        return None if found is None or found.parts == file.parts else found.name

    def __call__(self, parts: tuple[str, ...]) -> SourceFile | None:
        """The file of a path from the root of the file system, without its ending."""
        if parts[: len(self._top)] != self._top or "" in parts[1:]:
            return None
        path = os.sep.join(parts)
        for found in (f"{path}.py", os.path.join(path, "__init__.py")):
            if os.path.isfile(found):
                name = os.path.relpath(found) if self._relative else found
                try:
                    return SourceFile(name, read_source(found), named=False)
                except BadArgument:
                    return None
        return None
