"""What the graph's nodes call, made of the live things of one agent."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from dux_agent.deciding.deadline import Deadline
from dux_agent.decisions import Budget
from dux_agent.errors import BadArgument
from dux_agent.run_folder.events import body_of
from dux_agent.training.prompt_history import Message, PromptHistory
from dux_graphs import events as chat
from dux_graphs.events import ErrorEvent, EventBody, PromptEvent, ReplyEvent
from dux_graphs.models import cause_of, text_of
from dux_graphs.proposals import Brief
from dux_graphs.recorded import digest_of_chat
from dux_graphs.state import Ports
from dux_graphs.too_long import is_too_long
from dux_prompts.reply import cleaned
from dux_sandbox import check
from dux_sandbox.findings import CheckReport, DryRunReport, Finding

if TYPE_CHECKING:
    from dux_graphs.language_model import LanguageModel

log = logging.getLogger(__name__)

_MOST_HALVINGS = 2
_NAME_CHARACTERS = 200

DryRun = Callable[[str, Sequence[float] | None], DryRunReport]


class Tell(Protocol):
    """Writes one trace event."""

    def __call__(self, body: EventBody) -> None: ...


@dataclass(repr=False)
class DecisionPorts:
    """The ports of one decision, and what they learned on the way.

    Attributes:
        asked: the language models, in the order that they are asked in.
        deadline: when nobody is asked any more.
        prompt_history: what is told of earlier decisions, behind the system message.
        budget: what all decisions of the run may use.
        try_out: runs a source for a few steps; is handed the incumbent's losses of
            an earlier dry run of this decision, or None.
        wait: waits so many seconds, as a server asked to.
        prompts: folder of templates of the user's own.
        recall: the reply that this run got to a prompt of that digest before it died.
        rehearse: builds a source over the live groups and lets go of it; what speaks
            against it, or None.
        harmful: digests that were rolled back in this run, with the reason.
        tell: writes trace events.
        keep: keeps a source for the run folder.
        usage: calls and tokens of this decision.
        dry_runs: reports by source.
        inbox: the source that passed, until the trainer takes it.
        callers_error: an error of the caller's own (their objective, their clone).
    """

    asked: tuple[LanguageModel, ...]
    deadline: Deadline
    prompt_history: PromptHistory
    budget: Budget
    try_out: DryRun
    rehearse: Callable[[str], Finding | None]
    harmful: dict[str, str]
    tell: Tell
    keep: Callable[[str], None]
    wait: Callable[[float], object] = time.sleep
    prompts: str | None = None
    recall: Callable[[str], ReplyEvent | None] = lambda digest: None
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

    def ports(self, *, max_attempts: int, candidates: int, brief: Brief) -> Ports:
        """Them as the graph takes them."""
        first, *others = (partial(self.write, model) for model in self.asked)
        return Ports(
            write=first,
            check=self.check,
            dry_run=self.dry_run,
            apply=self.apply,
            max_attempts=max_attempts,
            candidates=candidates,
            brief=brief,
            fallback=others,
            on_event=self._told,
            wait=self.wait,
            seconds_left=lambda: self.deadline.left_before_fallbacks(len(others)),
        )

    def _told(self, kind: str, data: dict[str, Any]) -> None:
        """What the graph tells goes into the trace, but for what is said there fully.

        A call's trouble is told where it is made, with its class; what was applied,
        when it has been swapped in.
        """
        if kind in ("static_check", "dry_run"):
            self.tell(body_of(kind, data))

    def write(self, model: LanguageModel, messages: list[Message]) -> str:
        """A reply of the language model; raises what it raises, and BudgetSpent.

        Where the prompt is too long for the model, it is asked again with half of the
        chat of earlier decisions, twice at most, and then with none of it.
        """
        shortened = 0
        while True:
            try:
                return self._write(model, messages)
            except Exception as error:
                to_rows = shortened >= _MOST_HALVINGS
                if not is_too_long(error) or not self.prompt_history.shorten(
                    to_rows=to_rows
                ):
                    raise
                shortened += 1
                log.info("the chat is shortened: %s", cause_of(error))

    def _write(self, model: LanguageModel, messages: list[Message]) -> str:
        """One call to the language model."""
        system = [each for each in messages if each["role"] == "system"]
        others = [each for each in messages if each["role"] != "system"]
        asked = [*system, *self.prompt_history.before(others, self.prompts)]
        digest = digest_of_chat([(each["role"], each["content"]) for each in asked])
        known = self.recall(digest)
        if known is None:
            self.budget.require()
            self.deadline.require()
        told = tuple(chat.Message(**each) for each in asked)
        self.tell(PromptEvent(messages=told, digest=digest))
        self.budget.spend(calls=1)
        self.usage["calls"] += 1
        if known is None:
            text, tokens, name = self._ask(model, asked)
        else:
            # This call was paid before the run died.
            text, tokens, name = known.content, _tokens(known.usage), known.model
            self._count(tokens)
        usage = {"calls": 1, **tokens}
        name = name or None
        self.tell(ReplyEvent(content=text, prompt=digest, usage=usage, model=name))
        return text

    def _ask(
        self, model: LanguageModel, asked: list[Message]
    ) -> tuple[str, dict[str, int], str | None]:
        """The text of a reply, the tokens it cost, and who says to have written it."""
        try:
            answer = model.ask(asked, seconds=self.deadline.left(), again=self._again)
            tokens = _tokens(getattr(answer, "usage_metadata", None))
            self._count(tokens)
            return text_of(answer), tokens, _writer_of(answer)
        except Exception as error:
            # Every trouble is an event, also one that a retry mends.
            self._tell_of(error)
            raise

    def _again(self, error: Exception, options: Sequence[str]) -> None:
        """A server refused these options: the call is made again without them."""
        self._tell_of(error, f"asked again without {', '.join(options)}: ")
        self.budget.require()
        self.budget.spend(calls=1)
        self.usage["calls"] += 1

    def _tell_of(self, error: Exception, what: str = "") -> None:
        message = what + cause_of(error)
        self.tell(ErrorEvent(error=type(error).__name__, message=message))

    def _count(self, tokens: Mapping[str, int]) -> None:
        for name, count in tokens.items():
            self.usage[name] += count
        self.budget.spend(tokens=tokens.get("total_tokens", 0))

    def adopt(self, state: Mapping[str, Any], paid: Sequence[ReplyEvent]) -> None:
        """Take over what a run that died had done of this decision.

        Args:
            state: of the graph, as its checkpointer kept it.
            paid: the replies in the trace, for what they cost.
        """
        costs = [(cleaned(reply.content), reply.usage) for reply in paid]
        for message in state.get("messages", ()):
            if message.get("role") != "assistant":
                continue
            self.budget.spend(calls=1)
            self.usage["calls"] += 1
            for place, (content, usage) in enumerate(costs):
                if content == message.get("content"):
                    self._count(_tokens(usage))
                    del costs[place]
                    break
        for attempt in state.get("attempts", ()):
            if attempt["ok"] and attempt["losses"]:
                self.dry_runs[attempt["source"]] = DryRunReport(
                    ok=True,
                    losses=tuple(attempt["losses"]),
                    incumbent_losses=tuple(attempt["incumbent_losses"]),
                )

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
        return report

    def apply(self, source: str) -> bool | Finding:
        """Hand the source to the trainer; the swap waits for the edge of a step."""
        fault = self.rehearse(source)
        if fault is not None:
            self.tell(ErrorEvent(error="build", message=str(fault)))
            return fault
        self.inbox = source
        return True


def _writer_of(answer: Any) -> str:
    """The name of the model, as the server of it says, "" where it says nothing."""
    metadata = getattr(answer, "response_metadata", None)
    name = metadata.get("model_name") if isinstance(metadata, Mapping) else None
    return name[:_NAME_CHARACTERS] if isinstance(name, str) else ""


def _tokens(usage: Any) -> dict[str, int]:
    """The counts of tokens in what a provider, or a trace, says of a call."""
    if not isinstance(usage, Mapping):
        return {}
    names = ("input_tokens", "output_tokens", "total_tokens")
    return {name: int(usage[name]) for name in names if usage.get(name)}


def as_callers_error(error: Exception) -> Exception:
    """What the dry run raised, as the error that the caller is to see."""
    from dux_sandbox.dry_runs.scratch import CannotClone

    if isinstance(error, CannotClone):
        return BadArgument(str(error))
    if type(error) is ValueError:
        return BadArgument(str(error))
    return error
