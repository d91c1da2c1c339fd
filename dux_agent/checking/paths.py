"""`dux check` over what was named: files, folders, files that go with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dux_agent.checking.advice import with_advice
from dux_agent.checking.trying import Trial
from dux_agent.checking.vetted import Told, Vetted
from dux_agent.checking.vetting import read_source, vet
from dux_agent.errors import BadArgument
from dux_sandbox.findings import Finding, digest_of
from dux_sandbox.gathering.modules import SourceFile

_PASSED_OVER = frozenset(
    "__pycache__ build dist env node_modules site-packages venv".split()
)
_MOST_FILES = 2_000


@dataclass(frozen=True)
class Subject:
    """One file to check.

    Attributes:
        file: as it is called.
        text: what it holds; None where that cannot be read.
        folder: the folder that was named, if one was.
        trouble: why it cannot be read.
    """

    file: str
    text: str | None
    folder: str | None = None
    trouble: str = ""


def subjects_of(paths: Sequence[str]) -> list[Subject]:
    """Every file that is meant, each once, read.

    Raises:
        BadArgument: a file cannot be read, or a folder holds no Python file.
    """
    found: dict[str, Subject] = {}
    for path in paths:
        if os.path.isdir(path):
            for each in python_files(path):
                found.setdefault(os.path.abspath(each), _in_folder(each, path))
        else:
            found.setdefault(os.path.abspath(path), Subject(path, read_source(path)))
    return list(found.values())


def _in_folder(file: str, folder: str) -> Subject:
    try:
        return Subject(file, read_source(file), folder)
    except BadArgument as error:
        return Subject(file, None, folder, str(error))


def python_files(folder: str) -> list[str]:
    """The Python files of a folder and those below, by name.

    Hidden folders, environments and what is built are passed over; no link to a folder
    is followed.

    Raises:
        BadArgument: there are none, or more than a person would check.
    """
    found: list[str] = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _PASSED_OVER
            and not name.startswith(".")
            and not Path(at, name, "pyvenv.cfg").exists()
        )
        found += [
            os.path.normpath(os.path.join(at, name))
            for name in sorted(names)
            if name.endswith(".py") and Path(at, name).is_file()
        ]
    if not found:
        raise BadArgument(
            f"{folder} is no ordinary file but a folder, and no Python file is in it; "
            f"name a file, or a folder that holds some."
        )
    if len(found) > _MOST_FILES:
        raise BadArgument(
            f"{folder} holds {len(found)} Python files; at most {_MOST_FILES} are "
            f"checked at once; name a folder below it."
        )
    return found


def check_paths(
    paths: Sequence[str],
    *,
    static: bool = False,
    names: Sequence[str] = (),
    beside: Sequence[str] = (),
    trial: Trial | None = None,
) -> list[Vetted]:
    """Judge every optimizer in files and folders; see `vet`.

    Args:
        paths: files and folders.
        static: only read the sources; run nothing.
        names: classes of the only file that is named.
        beside: files that those may import. Of a folder, every file goes with every
            other.
        trial: what dry runs are made on; a small built-in model by default.

    Raises:
        BadArgument: something cannot be read, or `names` with more than one file.
        DuxError: no process for the dry run can be had on this system.
    """
    # All are read before the first is tried: one wrong name costs no waiting.
    subjects = subjects_of(paths)
    if names and (len(subjects) > 1 or any(map(os.path.isdir, paths))):
        raise BadArgument(
            f"--class {names[0]} is for one file, and {len(subjects)} are named; name "
            f"the file that holds it."
        )
    given = [SourceFile(name, read_source(name)) for name in beside]
    return [
        _vetted(
            subject, [*given, *_neighbours(subject, subjects)], static, names, trial
        )
        for subject in subjects
    ]


def _neighbours(subject: Subject, subjects: Sequence[Subject]) -> list[SourceFile]:
    if subject.folder is None:
        return []
    return [
        SourceFile(each.file, each.text)
        for each in subjects
        if each is not subject
        and each.folder == subject.folder
        and each.text is not None
    ]


def _vetted(
    subject: Subject,
    beside: Sequence[SourceFile],
    static: bool,
    names: Sequence[str],
    trial: Trial | None,
) -> Vetted:
    if subject.text is None:
        found = Told(subject.file, Finding("file", None, subject.trouble))
        return Vetted(subject.file, "other", digest_of(""), about=(found,))
    done = vet(
        subject.file,
        subject.text,
        static=static,
        names=names,
        beside=[each for each in beside if each.parts != _parts(subject)],
        trial=trial,
    )
    done = with_advice(done)
    lone = done.kind == "other" or not any(each.name for each in done.classes)
    if subject.folder is not None and lone and done.kind != "optimizer":
        return replace(done, skipped=True)
    return done


def _parts(subject: Subject) -> tuple[str, ...]:
    return SourceFile(subject.file, "").parts
