"""What the laws of an optimizer say against a proposal, before its dry run."""

from __future__ import annotations

from dux_agent.settings import Settings
from dux_sandbox.findings import Finding, SourceRejected
from dux_sandbox.jailed_laws import KEPT_BY_LIVE_OPTIMIZER, findings_of, try_laws
from dux_sandbox.laws.traits import UnknownTrait


def unlawful(source: str, settings: Settings) -> tuple[Finding, ...]:
    """The laws that a source breaks in a short run of them, in a jailed process."""
    try:
        return tuple(
            findings_of(
                try_laws(
                    source,
                    examples=0,
                    skip=KEPT_BY_LIVE_OPTIMIZER,
                    seed=settings.seed,
                    seconds=settings.limits.seconds,
                    limits=settings.limits,
                    quick=True,
                )
            )
        )
    except SourceRejected as error:
        return error.report.findings
    except UnknownTrait as error:
        return (Finding("traits", None, str(error), "leave the line out"),)
