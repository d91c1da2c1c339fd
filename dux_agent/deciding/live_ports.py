"""What the graph's nodes call, made of the live things of one agent."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from dux_agent.deciding.burden import HARMFUL, caught_in
from dux_agent.deciding.meanwhile import Meanwhile
from dux_agent.errors import BadArgument
from dux_agent.training.prompt_history import Message, PromptHistory
from dux_agent.training.token_room import TokenRoom
from dux_graphs.approval import Approve
from dux_graphs.paid_model import PaidModel
from dux_prompts.reply import cleaned
from dux_sandbox import check
from dux_sandbox.dry_runs.scratch import CannotClone, out_of_memory
from dux_sandbox.findings import CannotRunSo, CheckReport, DryRunReport, Finding


class DryRun(Protocol):
    """Runs a source for a few steps on a copy of the model."""

    def __call__(
        self, source: str, incumbent: DryRunReport | None, steps: int | None
    ) -> DryRunReport: ...


@dataclass(repr=False)
class DecisionPorts:
    """The ports of one decision, and what they learned on the way.

    Attributes:
        paid: the language models, and what their calls cost.
        prompt_history: what is told of earlier decisions, behind the system message.
        try_out: runs a source for a few steps; is handed an earlier report of this
            decision, for what it says of the incumbent, or None.
        rehearse: builds a source over the live groups and lets go of it; what speaks
            against it, or None.
        prepare: does what takes long of that in the thread of a decision.
        harmful: digests that were rolled back in this run, with the reason.
        keep: keeps a source for the run folder.
        wait: waits so many seconds, as a server asked to.
        prompts: folder of templates of the user's own.
        context_window: tokens of a prompt and its reply, as the user gave them.
        dry_runs: reports by source.
        caught: proposals of this decision that speak against their maker.
        inbox: the source that passed, until the trainer takes it.
        dry_runs_at: step at which each dry run began.
        meanwhile: what becomes of the training, where it goes on beside the decision.
        callers_error: an error of the caller's own (their objective, their clone).
    """

    paid: PaidModel
    prompt_history: PromptHistory
    try_out: DryRun
    rehearse: Callable[[str], Finding | None]
    harmful: dict[str, str]
    keep: Callable[[str], None]
    prepare: Callable[[str], None] | None = None
    wait: Callable[[float], object] = time.sleep
    prompts: str | None = None
    context_window: int | None = None
    dry_runs: dict[str, DryRunReport] = field(default_factory=dict)
    inbox: str | None = None
    dry_runs_at: list[int] = field(default_factory=list)
    meanwhile: Meanwhile | None = None
    callers_error: Exception | None = None
    caught: int = 0
    _earlier: DryRunReport | None = None

    @property
    def usage(self) -> dict[str, int | float]:
        """What the calls of this decision have cost so far."""
        return self.paid.usage

    def ports(self) -> dict[str, Any]:
        """Those of a graph that they answer for, by name."""
        return {
            **self.paid.ports(),
            "earlier": self,
            "wait": self.wait,
            "check": self.check,
            "dry_run": self.dry_run,
            "apply": self.apply,
        }

    def before(self, asked: list[Message]) -> list[Message]:
        """The messages of a call with those of earlier decisions, if there is room."""
        room = TokenRoom.of(self.paid, self.context_window)
        return self.prompt_history.fitting(asked, room, self.prompts)

    def shorten(self, *, to_rows: bool) -> bool:
        """Tell less of earlier decisions; whether there was anything to leave out."""
        return self.prompt_history.shorten(to_rows=to_rows)

    def adopt(
        self, state: Mapping[str, Any], paid: Sequence[Mapping[str, Any]]
    ) -> None:
        """Take over what a run that died had done of this decision.

        Args:
            state: of the graph, as its checkpointer kept it.
            paid: data of the replies in the trace, for what they cost.
        """
        costs = [(cleaned(str(d.get("content"))), d.get("usage")) for d in paid]
        for message in state.get("messages", ()):
            if message.get("role") != "assistant":
                continue
            for place, (content, usage) in enumerate(costs):
                if content == message.get("content"):
                    self.paid.adopt(usage)
                    del costs[place]
                    break
            else:
                self.paid.adopt(None)
        self.caught = caught_in(state.get("attempts", ()), HARMFUL)
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
            said = "this very source was rolled back before: "
            said += self.harmful[report.digest]
            instead = "another rule, or the same with smaller steps"
            finding = Finding("rolled_back", None, said, instead)
            report = CheckReport(False, report.digest, (finding,))
        return report

    def dry_run(self, source: str, steps: int | None = None) -> DryRunReport:
        """Try a source; the incumbent is run once a decision.

        Args:
            steps: fewer than those of a whole dry run, or None.

        Raises:
            MemoryError: there was none for the copy; the decision ends with that.
            CannotRunSo: no process can be had to run it in; so does it with this.
        """
        try:
            report = self.try_out(source, self._earlier, steps)
        except CannotRunSo:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError(
                    f"a copy of the model was to be trained beside it for some steps, "
                    f"and ran out of memory ({error}); agent.plan() says what that "
                    f"needs; smaller batches may fit."
                ) from error
            # The rule's faults are findings; what is raised is the caller's own.
            self.callers_error = error
            raise
        if self._earlier is None and report.incumbent_losses:
            self._earlier = report
        self.caught += any(each.rule in HARMFUL for each in report.findings)
        self.dry_runs[source] = report
        return report

    def asking(self, approve: Approve | None) -> Approve | None:
        """A person; what they raise comes out of `decide`."""
        if approve is None or isinstance(approve, str):
            return approve

        def ask(proposal: Mapping[str, Any]) -> bool | str:
            try:
                return approve(proposal)
            except Exception as error:
                self.callers_error = error
                raise

        return ask

    def apply(self, source: str) -> bool | Finding:
        """Hand the source to the trainer; the swap waits for the edge of a step."""
        if self.prepare is not None:
            self.prepare(source)
        fault = self.rehearse(source)
        if fault is not None:
            return fault
        self.inbox = source
        return True


def as_callers_error(error: Exception) -> Exception:
    """What the dry run raised, as the error that the caller is to see."""
    if isinstance(error, CannotClone) or type(error) is ValueError:
        return BadArgument(str(error))
    return error
