"""What the laws of an optimizer say against a proposal, before its dry run."""

from dux_agent.settings import Settings
from dux_sandbox.findings import DryRunReport, Finding, SourceRejected
from dux_sandbox.jailed_laws import KEPT_BY_LIVE_OPTIMIZER, findings_of, try_laws
from dux_sandbox.laws.traits import UnknownTrait


def unlawful(
    source: str, settings: Settings, earlier: DryRunReport | None = None
) -> DryRunReport | None:
    """The report on a source that breaks a law in a short, jailed run of them.

    Args:
        earlier: a report of the same decision; this one says of the incumbent what
            that one does.

    Returns:
        None where none is broken, or `settings.fuzz` asks for none.
    """
    broken = _broken(source, settings) if settings.fuzz else ()
    if not broken:
        return None
    seen = () if earlier is None else earlier.incumbent_losses
    return DryRunReport(False, (), seen, 0.0, 0, broken)


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
