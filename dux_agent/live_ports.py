"""What the graph's nodes call, made of the live things of one agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from dux_agent.decisions import Budget
from dux_agent.errors import BadArgument
from dux_graphs.models import cause_of, text_of
from dux_graphs.state import Ports
from dux_sandbox import check
from dux_sandbox.findings import CheckReport, DryRunReport, Finding

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

Message = dict[str, str]
DryRun = Callable[[str, Sequence[float] | None], DryRunReport]


class Tell(Protocol):
    """Writes one trace event."""

    def __call__(self, kind: str, data: dict[str, Any]) -> None: ...


@dataclass
class DecisionPorts:
    """The ports of one decision, and what they learned on the way.

    Attributes:
        chat: the language model that writes.
        fallback: the one asked when the retries of `chat` are spent.
        earlier: the chat of earlier decisions, put behind the system message.
        budget: what all decisions of the run may use.
        try_out: runs a source for a few steps; is handed the incumbent's losses of
            an earlier dry run of this decision, or None.
        harmful: digests that were rolled back in this run, with the reason.
        tell: writes trace events.
        keep: keeps a source for the run folder.
        usage: calls and tokens of this decision.
        dry_runs: reports by source.
        inbox: the source that passed, until the trainer takes it.
        callers_error: an error of the caller's own (their objective, their clone).
    """

    chat: BaseChatModel
    fallback: BaseChatModel | None
    earlier: list[Message]
    budget: Budget
    try_out: DryRun
    harmful: dict[str, str]
    tell: Tell
    keep: Callable[[str], None]
    usage: dict[str, int] = field(
        default_factory=lambda: {
            "calls": 0,
            "input_tokens": 0,
            "output_tokens": 0,
            "total_tokens": 0,
        }
    )
    dry_runs: dict[str, DryRunReport] = field(default_factory=dict)
    inbox: str | None = None
    callers_error: Exception | None = None
    _incumbent_losses: tuple[float, ...] | None = None

    def ports(
        self, *, max_attempts: int, candidates: int, prompts: str | None
    ) -> Ports:
        """Them as the graph takes them."""
        fallback = self.fallback
        return Ports(
            write=lambda messages: self.write(self.chat, messages),
            check=self.check,
            dry_run=self.dry_run,
            apply=self.apply,
            max_attempts=max_attempts,
            candidates=candidates,
            prompts=prompts,
            fallback=None
            if fallback is None
            else lambda messages: self.write(fallback, messages),
        )

    def write(self, chat: BaseChatModel, messages: list[Message]) -> str:
        """One call to the language model; raises what it raises, and BudgetSpent."""
        self.budget.require()
        system = [each for each in messages if each["role"] == "system"]
        others = [each for each in messages if each["role"] != "system"]
        asked = [*system, *self.earlier, *others]
        self.tell("prompt", {"messages": asked})
        self.budget.spend(calls=1)
        self.usage["calls"] += 1
        try:
            answer = chat.invoke(asked)
            self._count(getattr(answer, "usage_metadata", None))
            text = text_of(answer)
        except Exception as error:
            # Every trouble is an event, also one that a retry mends.
            self.tell(
                "error", {"error": type(error).__name__, "message": cause_of(error)}
            )
            raise
        self.tell("reply", {"content": text, "usage": dict(self.usage)})
        return text

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        for name in ("input_tokens", "output_tokens", "total_tokens"):
            self.usage[name] += int(usage.get(name) or 0)
        self.budget.spend(tokens=int(usage.get("total_tokens") or 0))

    def check(self, source: str) -> CheckReport:
        """The static check; a source that did harm before is refused here."""
        self.keep(source)
        report = check(source)
        if report.ok and report.digest in self.harmful:
            finding = Finding(
                "rolled_back",
                None,
                f"this very source was rolled back before: "
                f"{self.harmful[report.digest]}",
                "another rule, or the same with smaller steps",
            )
            report = CheckReport(False, report.digest, (finding,))
        self.tell("static_check", report.as_dict())
        return report

    def dry_run(self, source: str) -> DryRunReport:
        """Try a source; the incumbent is run once a decision."""
        try:
            report = self.try_out(source, self._incumbent_losses)
        except Exception as error:
            # The rule's faults are findings; what is raised is the caller's own.
            self.callers_error = error
            raise
        self._incumbent_losses = report.incumbent_losses or self._incumbent_losses
        self.dry_runs[source] = report
        from dux_sandbox.findings import digest_of

        self.tell("dry_run", {"digest": digest_of(source), **report.as_dict()})
        return report

    def apply(self, source: str) -> bool:
        """Hand the source to the trainer; the swap waits for the edge of a step."""
        self.inbox = source
        return True


def as_callers_error(error: Exception) -> Exception:
    """What the dry run raised, as the error that the caller is to see."""
    from dux_sandbox.scratch import CannotClone

    if isinstance(error, CannotClone):
        return BadArgument(str(error))
    if type(error) is ValueError:
        return BadArgument(str(error))
    return error
