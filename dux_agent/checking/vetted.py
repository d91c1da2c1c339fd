"""What `dux check` found in a file, class by class, as plain data."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

from dux_sandbox.findings import CheckReport, DryRunReport, Finding
from dux_sandbox.mending.draft import Change


@dataclass(frozen=True)
class Told:
    """One finding, and the file that its line is of."""

    file: str
    finding: Finding

    def as_dict(self) -> dict[str, Any]:
        """Its fields by name, as `dux check --json` prints them."""
        return {**self.finding.as_dict(), "file": self.file}


@dataclass(frozen=True)
class VettedClass:
    """One optimizer of a file and what was found in it.

    Attributes:
        name: its class; None where the file holds no optimizer.
        source: what was judged: the file, or what the class needs of it and of the
            files beside it.
        check: the static check of that.
        findings: everything that speaks against it.
        notes: what was left out.
        dry_run: None where none was made.
        recorded: whether it would run as a program with `execution="recorded"`; None
            where that was not looked at.
        unrecorded: what stands in the way of that.
    """

    name: str | None
    source: str
    check: CheckReport
    findings: tuple[Told, ...]
    notes: tuple[Told, ...]
    dry_run: DryRunReport | None = None
    recorded: bool | None = None
    unrecorded: Told | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Its name, digest and whatever was found, as `dux check --json` prints it."""
        return {
            "name": self.name,
            "ok": self.ok,
            "digest": self.check.digest,
            "findings": [finding.as_dict() for finding in self.findings],
            "notes": [note.as_dict() for note in self.notes],
            "dry_run": None if self.dry_run is None else self.dry_run.as_dict(),
            "recorded": self.recorded,
            "unrecorded": self.unrecorded and self.unrecorded.as_dict(),
        }


@dataclass(frozen=True)
class Fixed:
    """What came of `--fix` for one file.

    Attributes:
        target: the file that was written; None where none was.
        changes: what was rewritten.
        diff: the rewrite, as a unified diff; "" where nothing was rewritten.
        compared: how both were compared.
        trouble: why nothing was written; "" where it was, or nothing was to be done.
    """

    target: str | None = None
    changes: tuple[Change, ...] = ()
    diff: str = ""
    compared: str = ""
    trouble: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `dux check --fix --json` prints it."""
        return {
            "written": self.target,
            "changes": [
                {"file": file, "line": line, "what": change.what}
                for change in self.changes
                for file, line in [change.origin]
            ],
            "diff": self.diff,
            "compared": self.compared,
            "trouble": self.trouble,
        }


@dataclass(frozen=True)
class Vetted:
    """One file and what was found in it.

    Attributes:
        file: as it was named.
        kind: "optimizer", "script" or "other".
        digest: of the file.
        classes: its optimizers, in the order of the file.
        about: what speaks against the file and not against one class.
        beside: files that were judged with it.
        skipped: it stands in a folder that was named, and holds no optimizer.
        fixed: what came of `--fix`; None where that was not asked for.
    """

    file: str
    kind: str
    digest: str
    classes: tuple[VettedClass, ...] = ()
    about: tuple[Told, ...] = ()
    beside: tuple[str, ...] = ()
    skipped: bool = False
    fixed: Fixed | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the file."""
        return not self.about and all(each.ok for each in self.classes)

    @property
    def settled(self) -> bool:
        """Whether it is accepted, skipped, or a rewrite of it was written."""
        written = self.fixed is not None and self.fixed.target is not None
        return self.ok or self.skipped or written

    @property
    def verdict(self) -> str:
        """ "accepted", "refused", "script" or "skipped"."""
        if self.skipped:
            return "skipped"
        if self.ok:
            return "accepted"
        return "script" if self.kind == "script" else "refused"

    @property
    def findings(self) -> tuple[Told, ...]:
        """Everything that speaks against it, each thing once."""
        every = chain(self.about, *(one.findings for one in self.classes))
        return tuple(dict.fromkeys(every))

    @property
    def notes(self) -> tuple[Told, ...]:
        """What was left out."""
        return tuple(dict.fromkeys(chain(*(one.notes for one in self.classes))))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `dux check --json` prints it; docs/check.md has the keys."""
        tried = self.classes[-1].dry_run if self.classes else None
        return {
            "file": self.file,
            "kind": self.kind,
            "verdict": self.verdict,
            "ok": None if self.skipped else self.ok,
            "digest": self.digest,
            "with": list(self.beside),
            "findings": [finding.as_dict() for finding in self.findings],
            "notes": [note.as_dict() for note in self.notes],
            "dry_run": None if tried is None else tried.as_dict(),
            "classes": [one.as_dict() for one in self.classes if one.name is not None],
            "fix": None if self.fixed is None else self.fixed.as_dict(),
        }
