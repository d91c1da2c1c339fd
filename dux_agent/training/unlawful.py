"""What the laws of an optimizer say against a proposal, before its dry run."""

from collections.abc import Sequence

from dux_agent.settings import Settings
from dux_sandbox.findings import DryRunReport, Finding, SourceRejected
from dux_sandbox.jailed_laws import KEPT_BY_LIVE_OPTIMIZER, findings_of, try_laws
from dux_sandbox.laws.traits import UnknownTrait


def unlawful(
    source: str, settings: Settings, incumbent_losses: Sequence[float] | None = None
) -> DryRunReport | None:
    """The report on a source that breaks a law in a short, jailed run of them.

    Args:
        incumbent_losses: what the report says of the incumbent.

    Returns:
        None where none is broken, or `settings.fuzz` asks for none.
    """
    broken = _broken(source, settings) if settings.fuzz else ()
    seen = tuple(incumbent_losses or ())
    return DryRunReport(False, (), seen, 0.0, 0, broken) if broken else None


def _broken(source: str, settings: Settings) -> tuple[Finding, ...]:
    try:
        tried = try_laws(
            source,
            examples=0,
            skip=KEPT_BY_LIVE_OPTIMIZER,
            seed=settings.seed,
            seconds=settings.limits.seconds,
            limits=settings.limits,
            quick=True,
        )
        return tuple(findings_of(tried))
    except SourceRejected as error:
        return error.report.findings
    except UnknownTrait as error:
        return (Finding("traits", None, str(error), "leave the line out"),)
