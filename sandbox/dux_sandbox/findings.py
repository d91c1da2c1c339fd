"""What the wall says of a source: findings, reports and the two refusals."""

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any


def digest_of(source: str) -> str:
    """The name of a source: SHA-256 of its UTF-8 text, 64 hex digits.

    >>> digest_of("")[:12]
    'e3b0c44298fc'
    """
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def printable(text: str) -> str:
    """`text` on one line, with a space for whatever a terminal would obey.

    >>> printable("a\\x1b[31mb\\u202ec")
    'a [31mb c'
    """
    return "".join(sign if sign.isprintable() else " " for sign in text)


@dataclass(frozen=True)
class Finding:
    """One fault of a source, said so that a language model can mend it.

    Attributes:
        rule: the rule broken, a short stable name ("import", "attribute", "time").
        line: 1-based line of the source, or None where no line is to blame.
        message: what was found.
        instead: the form to write instead.
    """

    rule: str
    line: int | None
    message: str
    instead: str = ""

    @property
    def code(self) -> str:
        """What was broken: the name that `rule` has had, and has in traces of format 1.

        >>> Finding("import", 1, "`import os`").code
        'import'
        """
        return self.rule

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as graph state and traces hold it."""
        return asdict(self)

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line is not None else ""
        instead = f" Instead: {self.instead}" if self.instead else ""
        return f"{where}[{self.rule}] {self.message}{instead}"


class CannotRunSo(Exception):
    """No rule can run in this way, whatever its source; says why and what to do."""


@dataclass(frozen=True)
class CheckReport:
    """What the static check found; `ok` is true when it found nothing.

    Attributes:
        ok: the source may be run, behind the guards.
        digest: of the source.
        findings: why not.
        notes: what was left out of a source that may be run.
    """

    ok: bool
    digest: str
    findings: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as graph state and traces hold it."""
        return {
            "ok": self.ok,
            "digest": self.digest,
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True)
class DryRunReport:
    """How a proposal did on a copy of the model, beside the incumbent.

    Attributes:
        ok: nothing speaks against the proposal.
        losses: the objective before each step and after the last one, with the
            proposal; shorter when the run was cut off.
        incumbent_losses: the same batches and random numbers with the incumbent.
        seconds: time the rule itself used, in seconds.
        peak_bytes: memory the rule's process took over what it began with.
        step_seconds: the longest single step of the rule after the first, seconds.
        moved, incumbent_moved: how far the proposal and the incumbent have moved a
            sample of the weights, as a norm; 0: not known.
        moves_later: how far as many of the longest steps would that the proposal takes
            after them; 0: nobody looked, or they do not grow.
        period: steps after which the batches come again.
        findings: why the proposal was refused; empty when `ok`.
    """

    ok: bool
    losses: tuple[float, ...] = ()
    incumbent_losses: tuple[float, ...] = ()
    seconds: float = 0.0
    peak_bytes: int = 0
    findings: tuple[Finding, ...] = ()
    step_seconds: float = field(default=0.0, compare=False)
    moved: float = 0.0
    incumbent_moved: float = 0.0
    moves_later: float = 0.0
    period: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as graph state and traces hold it."""
        return {
            "ok": self.ok,
            "losses": list(self.losses),
            "incumbent_losses": list(self.incumbent_losses),
            "seconds": self.seconds,
            "peak_bytes": self.peak_bytes,
            "step_seconds": self.step_seconds,
            "findings": [finding.as_dict() for finding in self.findings],
        }


class SourceRejected(Exception):
    """A source was refused before any of it ran; `.report` says why."""

    def __init__(self, report: CheckReport) -> None:
        self.report = report
        lines = "; ".join(str(finding) for finding in report.findings[:3])
        super().__init__(f"source {report.digest[:12]} is refused: {lines}")


class RuleFailed(Exception):
    """A running rule raised, hung, died or answered nonsense; `.finding` says how.

    This is the only exception that a rule's own fault can cause.
    """

    def __init__(self, finding: Finding) -> None:
        self.finding = finding
        super().__init__(str(finding))
