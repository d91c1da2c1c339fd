"""The optimizers of a file, each as the text that is judged and tried alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from dux_agent.checking.given_options import GivenOptions
from dux_agent.checking.vetting import vet
from dux_sandbox.findings import Finding
from dux_sandbox.gathering.modules import SourceFile


@dataclass(frozen=True)
class RuleText:
    """One optimizer of a file.

    Attributes:
        name: its class; None where the file holds no optimizer.
        text: the file, or what the class needs of it and of the files beside it.
        findings: of the static check; where there are any, nothing is to be run.
        whole: the text is the file's own.
    """

    name: str | None
    text: str
    findings: tuple[Finding, ...] = ()
    whole: bool = True


def rules_of(
    file: str,
    source: str,
    names: Sequence[str] = (),
    beside: Sequence[SourceFile] = (),
    options: GivenOptions | None = None,
) -> tuple[RuleText, ...]:
    """Every optimizer of a file, as `dux check --static` judges it; at least one.

    Raises:
        BadArgument: a name is no optimizer of the file, or an option no argument of its
            constructors.
    """
    vetted = vet(file, source, static=True, names=names, beside=beside, options=options)
    found = tuple(
        RuleText(
            one.name,
            one.source,
            tuple(told.finding for told in one.findings),
            one.source == source,
        )
        for one in vetted.classes
        if one.name is not None
    )
    if found:
        return found
    return (RuleText(None, source, tuple(told.finding for told in vetted.findings)),)
