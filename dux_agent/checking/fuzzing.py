"""`dux fuzz`: does an optimizer in a file keep the laws?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dux_agent.errors import BadArgument, DuxError, MissingExtra

if TYPE_CHECKING:
    from dux_agent.checking.golden_file import Golden
    from dux_agent.checking.rule_texts import RuleText
    from dux_sandbox.findings import Finding
    from dux_sandbox.laws import LawResult


@dataclass(frozen=True)
class Fuzzed:
    """One optimizer of a file and what came of it.

    Attributes:
        file: as it was named.
        rule: the class; None where the file holds no optimizer.
        findings: of the static check; the laws were tried only where there are none.
        traits: what is declared in it.
        results: one for each law; none where there are findings.
        golden: what came of a golden trajectory; None where none was asked for.
    """

    file: str
    rule: str | None
    findings: tuple[Finding, ...]
    traits: tuple[str, ...] = ()
    results: tuple[LawResult, ...] = ()
    golden: Golden | None = None

    @property
    def ok(self) -> bool:
        """Whether the file is accepted, keeps every law, and goes as recorded."""
        steady = self.golden is None or self.golden.ok
        lawful = all(result.ok for result in self.results)
        return not self.findings and lawful and steady

    @property
    def unjudged(self) -> tuple[str, ...]:
        """The laws that nothing was found out about; their messages say why."""
        return tuple(each.name for each in self.results if each.verdict == "unjudged")

    def as_dict(self) -> dict[str, Any]:
        """Plain data, as `dux fuzz --json` prints it; docs/vetting.md has the keys."""
        from dux_sandbox.laws import LAWS, OPTIONAL_LAWS

        claims = {law.name: law.claim for law in (*LAWS, *OPTIONAL_LAWS)}
        return {
            "file": self.file,
            "class": self.rule,
            "ok": self.ok,
            "findings": [finding.as_dict() for finding in self.findings],
            "traits": list(self.traits),
            "golden": None if self.golden is None else self.golden.as_dict(),
            "laws": [
                {
                    "name": result.name,
                    "ok": result.ok,
                    "verdict": result.verdict,
                    "claim": claims[result.name],
                    "message": result.message,
                    "example": result.example,
                }
                for result in self.results
            ],
            "unjudged": list(self.unjudged),
        }


@dataclass(frozen=True)
class LawsAsked:
    """Which laws are tried on a rule, and how.

    Attributes:
        examples: cases drawn for each law; 0: those made by hand only.
        skip: names of laws that are left out.
        also: names of optional laws that are tried as well.
        seed: of what is drawn.
    """

    examples: int = 50
    skip: Sequence[str] = ()
    also: Sequence[str] = ()
    seed: int = 0

    def names(self) -> list[str]:
        """Of the laws, in the order in which they are tried."""
        from dux_sandbox.laws import laws_to_try

        return [law.name for law in laws_to_try(self.examples, self.skip, self.also)]

    def check(self, *, mark: str = "") -> None:
        """Raise BadArgument or MissingExtra before the first file is tried.

        Args:
            mark: stands before the name of an argument in messages.
        """
        from dux_sandbox.laws import HypothesisMissing

        try:
            self.names()
        except HypothesisMissing:
            purpose = "drawing examples"
            raise MissingExtra.of("hypothesis", extra="fuzz", purpose=purpose) from None
        except ValueError as error:
            raise BadArgument(f"{mark}{error}") from None


def fuzz(
    file: str,
    rule: RuleText,
    asked: LawsAsked,
    *,
    at: str | None,
    seconds: float = 120.0,
    on_result: Callable[[LawResult], None] = lambda _: None,
    stop: Callable[[], str] = lambda: "",
) -> Fuzzed:
    """Try the laws on one optimizer of a file in a jailed process.

    Args:
        file: what the file is called in the result.
        rule: the optimizer; one with findings is not run.
        asked: the laws.
        at: where the file lies, from which scripts take a class that is too long to
            be printed with each of them; None: it lies nowhere.
        seconds: time for each law; a rule that needs longer breaks it.
        on_result: told each result as it comes.
        stop: asked after each law; the reason it gives, if any, ends the trial, and
            the laws that were to come are not judged.

    Raises:
        BadArgument: the file declares a trait that is none.
        DuxError: no process of its own can be had on this system.
    """
    from dux_sandbox.findings import SourceRejected
    from dux_sandbox.jailed_laws import try_laws
    from dux_sandbox.laws import LawResult
    from dux_sandbox.laws.traits import UnknownTrait, declared_by
    from dux_sandbox.process.spawning import IsolationUnavailable

    if rule.findings:
        return Fuzzed(file, rule.name, rule.findings)
    results, reason = [], ""
    try:
        trying = try_laws(
            rule.text,
            examples=asked.examples,
            skip=asked.skip,
            also=asked.also,
            seed=asked.seed,
            seconds=seconds,
            file=at if rule.whole else None,
        )
        with closing(trying) as trial:
            for result in trial:
                results.append(result)
                on_result(result)
                reason = stop()
                if reason:
                    break
    except SourceRejected as error:
        return Fuzzed(file, rule.name, error.report.findings)
    except UnknownTrait as error:
        raise BadArgument(f"{file}: {error}") from None
    except IsolationUnavailable as error:
        raise DuxError(str(error)) from None
    wanted = asked.names()
    why = reason or f"`{results[-1].name}` ended the process that tries them"
    results += [
        LawResult(name, True, f"not tried: {why}") for name in wanted[len(results) :]
    ]
    traits = tuple(sorted(declared_by(rule.text)))
    return Fuzzed(file, rule.name, (), traits, tuple(results))
