"""`dux check`: is an optimizer in a file allowed, and does it do no harm?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dux_agent.errors import BadArgument, DuxError
from dux_sandbox.findings import CheckReport, DryRunReport, Finding

if TYPE_CHECKING:
    from torch import Tensor, nn

# Far beyond any source that the check accepts; a larger file is read no further.
_MOST_BYTES = 1 << 22


@dataclass(frozen=True)
class Vetted:
    """One file and what was found in it; `dry_run` is None where none was made."""

    file: str
    check: CheckReport
    dry_run: DryRunReport | None

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against the rule."""
        return self.check.ok and (self.dry_run is None or self.dry_run.ok)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Everything that speaks against it."""
        tried = () if self.dry_run is None else self.dry_run.findings
        return self.check.findings + tried

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `dux check --json` prints it."""
        return {
            "file": self.file,
            "ok": self.ok,
            "digest": self.check.digest,
            "findings": [finding.as_dict() for finding in self.findings],
            "notes": [note.as_dict() for note in self.check.notes],
            "dry_run": None if self.dry_run is None else self.dry_run.as_dict(),
        }


def read_source(file: str) -> str:
    """The text of a file.

    Raises:
        BadArgument: it is missing, unreadable, no ordinary file, or no UTF-8 text.
    """
    path = Path(file)
    wanted = "a Python file was wanted; name one that you can read"
    try:
        if path.exists() and not path.is_file():
            raise BadArgument(f"{file} is no ordinary file; {wanted}.")
        with path.open("rb") as held:
            content = held.read(_MOST_BYTES)
    except (OSError, ValueError) as error:
        if isinstance(error, BadArgument):
            raise
        why = error.strerror if isinstance(error, OSError) else error
        raise BadArgument(f"{file} cannot be read: {why}; {wanted}.") from None
    try:
        # A byte order mark is no part of the source.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # A long text is cut anywhere; it is refused for its length further on.
        if len(content) == _MOST_BYTES and error.start > _MOST_BYTES - 4:
            return content[: error.start].decode("utf-8-sig")
        raise BadArgument(
            f"{file} is no UTF-8 text (byte {error.start}); {wanted}."
        ) from None


def vet(file: str, source: str, *, static: bool = False) -> Vetted:
    """Check a source and, unless `static`, dry-run it on a small built-in model.

    Raises:
        DuxError: no process for the dry run can be had on this system.
    """
    from dux_sandbox import check
    from dux_sandbox.process.spawning import IsolationUnavailable

    report = check(source)
    if static or not report.ok:
        return Vetted(file, report, None)
    try:
        return Vetted(file, report, _try(source))
    except IsolationUnavailable as error:
        raise DuxError(f"{error}; pass --static to read the source only.") from None


def _try(source: str) -> DryRunReport:
    """Ten steps of the rule on a small classifier, beside plain SGD."""
    import torch
    from torch import nn
    from torch.nn import functional

    from dux_sandbox import dry_run
    from dux_sandbox.random_state import same_random_numbers

    with same_random_numbers(0):
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        inputs = torch.randn(10, 32, 8)
        targets = (inputs @ torch.randn(8, 4)).argmax(-1)

    def objective(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    def run(closure: bool) -> DryRunReport:
        return dry_run(
            source,
            model,
            torch.optim.SGD(model.parameters(), lr=0.01),
            objective,
            list(zip(inputs, targets, strict=True)),
            closure=closure,
        )

    report = run(closure=False)
    if any(finding.rule == "closure" for finding in report.findings):
        report = run(closure=True)
    return report
