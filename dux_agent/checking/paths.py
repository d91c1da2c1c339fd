"""`dux check` over what was named: files, folders, files that go with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dux_agent.checking.advice import with_advice
from dux_agent.checking.beside import files_beside
from dux_agent.checking.fixing import Plan, fix, plan
from dux_agent.checking.folders import texts_in
from dux_agent.checking.given_options import GivenOptions, only_for_one_file
from dux_agent.checking.reading import Read, read
from dux_agent.checking.trying import Trial
from dux_agent.checking.vetted import Told, Vetted
from dux_agent.checking.vetting import read_source, vetted_of
from dux_agent.errors import BadArgument
from dux_sandbox.findings import Finding, digest_of
from dux_sandbox.gathering.modules import SourceFile


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
        BadArgument: a file cannot be read, a folder holds no Python file, or too much.
    """
    found: dict[str, Subject] = {}
    for path in paths:
        if not os.path.isdir(path):
            found.setdefault(os.path.abspath(path), Subject(path, read_source(path)))
            continue
        for file, text in texts_in(path):
            subject = Subject(file, None, path, str(text))
            if isinstance(text, str):
                subject = Subject(file, text, path)
            found.setdefault(os.path.abspath(file), subject)
    return list(found.values())


def check_paths(
    paths: Sequence[str],
    *,
    static: bool = False,
    names: Sequence[str] = (),
    beside: Sequence[str] = (),
    options: Sequence[str] = (),
    trial: Trial | None = None,
    rewrite: bool = False,
) -> list[Vetted]:
    """Judge every optimizer in files and folders; see `vet`.

    Args:
        paths: files and folders.
        static: only read the sources; run nothing.
        names: classes of the only file that is named.
        beside: files that those may import, or folders of them. Of a folder that is
            checked, every file goes with every other.
        options: `NAME=VALUE` for constructors of the only file that is named.
        trial: what dry runs are made on; a small built-in model by default.
        rewrite: write a rewrite that is accepted beside each file that has one.

    Raises:
        BadArgument: something cannot be read, `names` or `options` with more than one
            file, an option that no constructor has, or a rewrite would be written over
            a file.
        DuxError: no process for the dry run can be had on this system, or a rewrite
            cannot be written.
    """
    if static and rewrite:
        raise BadArgument(
            "--fix runs a file and its rewrite to compare them, and --static runs "
            "nothing; give one of them."
        )
    if options and rewrite:
        raise BadArgument(
            f"--option {options[0]} is what a file is tried with, and --fix keeps the "
            f"defaults that it has; give one of them."
        )
    # All are read before the first is tried: one wrong name costs no waiting.
    subjects = subjects_of(paths)
    folder = any(map(os.path.isdir, paths))
    only_for_one_file(len(subjects), names, options, folder=folder)
    tried_with = GivenOptions.of(options)
    given = [*files_beside(beside), *_in_folders(subjects)]
    work = [_Work.of(subject, given, names, tried_with) for subject in subjects]
    plans = [plan(each.held) if rewrite and each.held else None for each in work]
    return [
        each.done(static, trial, made) for each, made in zip(work, plans, strict=True)
    ]


@dataclass(frozen=True)
class _Work:
    """One file as it was read, and those that it may import."""

    subject: Subject
    beside: tuple[SourceFile, ...]
    held: Read | None

    @classmethod
    def of(
        cls,
        subject: Subject,
        given: Sequence[SourceFile],
        names: Sequence[str],
        options: GivenOptions,
    ) -> _Work:
        """Read a file."""
        parts = SourceFile(subject.file, "").parts
        beside = tuple(each for each in given if each.parts != parts)
        if subject.text is None:
            return cls(subject, beside, None)
        held = read(
            subject.file, subject.text, names=names, beside=beside, options=options
        )
        return cls(subject, beside, held)

    def done(self, static: bool, trial: Trial | None, made: Plan | None) -> Vetted:
        """Try what was read, and write its rewrite where one is planned."""
        if self.held is None:
            found = Told(self.subject.file, Finding("file", None, self.subject.trouble))
            return Vetted(self.subject.file, "other", digest_of(""), about=(found,))
        vetted = vetted_of(self.held, static=static, trial=trial)
        done = with_advice(vetted, self.held.text)
        lone = not any(each.name for each in done.classes)
        if self.subject.folder is not None and lone and done.kind != "optimizer":
            return replace(done, skipped=True)
        if made is None:
            return done
        return replace(done, fixed=fix(made, self.beside, trial))


def _in_folders(subjects: Sequence[Subject]) -> list[SourceFile]:
    """The files of folders: each may import every other."""
    return [
        SourceFile(each.file, each.text, named=False, folder=each.folder)
        for each in subjects
        if each.folder is not None and each.text is not None
    ]
