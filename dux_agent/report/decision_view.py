"""What the page says of one decision: a `DecisionStory` made into plain values."""

from dataclasses import dataclass, field, replace
from typing import Any

from dux_agent.formatting import (
    by_itself_text,
    bytes_text,
    counts_text,
    loss_text,
    plural,
    rates_text,
    seconds_text,
    verdict_class,
)
from dux_agent.report.difference import changes, difference
from dux_agent.report.money import Prices, money_text
from dux_agent.report.run_charts import dry_run_chart
from dux_agent.report.thinning import shortened
from dux_agent.run_history.records import DecisionStory, ProposalTold, RunHistory
from dux_agent.run_history.summary import summary

_MOST_PROPOSALS = 24
_MOST_FINDINGS = 40
_MOST_TROUBLES = 12
_LINE_CHARACTERS = 400
_SENTENCE = 600

# What is told as an error and is none of the model's.
_TITLES = {
    "not_approved": "A person's word",
    "build": "It could not be built",
    "unrecorded": "It can be recorded no longer",
    "incumbent": "The rule before it is lost",
    "contradiction": "Told otherwise before a resume",
}
_STAGES = {"reply": "reply", "static_check": "static check", "dry_run": "dry run"}

View = dict[str, Any]


@dataclass
class Told:
    """What the page has said already, so that it is said once.

    Attributes:
        most: characters of a text that are shown.
        messages: where each message stands first.
    """

    most: int
    messages: dict[tuple[str, str], str] = field(default_factory=dict)

    def cut(self, text: str) -> str:
        """A text as it is shown: cut in the middle where it is long."""
        return shortened(text, self.most)

    def sentence(self, text: str) -> str:
        """A short text as it is shown."""
        return shortened(text, min(_SENTENCE, self.most))


def view_of(
    decision: DecisionStory, run: RunHistory, prices: Prices, told: Told
) -> View:
    """The values that `templates/decision.html.j2` writes down."""
    proposals = decision.proposals
    best = decision.source or next(
        (each.source for each in reversed(proposals) if each.source), None
    )
    stages, stages_text = _stages(decision)
    return {
        "number": decision.number,
        "step": f"{decision.step:,}",
        "verdict": decision.verdict.replace("_", " ")[:40],
        "verdict_class": verdict_class(decision.verdict),
        "title": summary(best, 110) or "no source was proposed",
        "reason": told.sentence(decision.reason),
        "facts": _facts(decision, run),
        "troubles": [
            {"title": _title(each.error, told), "message": told.sentence(each.message)}
            for each in decision.troubles[:_MOST_TROUBLES]
        ],
        "proposals": [
            _proposal(decision, each, told) for each in proposals[:_MOST_PROPOSALS]
        ],
        "proposals_note": _left_out(len(proposals), _MOST_PROPOSALS, "proposal"),
        "stages": stages,
        "stages_text": stages_text,
        "costs": _costs(decision, prices),
        "prompts": [_call(decision, at, told) for at in range(len(decision.prompts))][
            :_MOST_PROPOSALS
        ],
    }


def _title(error: str, told: Told) -> str:
    return _TITLES.get(error, f"Trouble with the model, {told.sentence(error)}")


def _left_out(number: int, most: int, name: str) -> str:
    return f"{plural(number - most, name)} more are not shown." if number > most else ""


def _facts(decision: DecisionStory, run: RunHistory) -> list[str]:
    facts = [f"step {decision.step:,}"]
    if decision.decided_at > decision.step:
        facts.append(f"decided at {decision.decided_at:,}")
    before, after = run.losses_around(decision)
    if before is not None and after is not None:
        name = "val loss" if run.epochs else "loss"
        facts.append(f"{name} {loss_text(before)} → {loss_text(after)}")
    if len(decision.proposals) > 1:
        facts.append(plural(len(decision.proposals), "proposal"))
    if decision.by_itself:
        facts.append(by_itself_text(decision.by_itself))
    if decision.seconds is not None:
        facts.append(seconds_text(decision.seconds))
    return facts


def _proposal(decision: DecisionStory, one: ProposalTold, told: Told) -> View:
    view: View = {
        "name": f"Proposal {one.number} of {len(decision.proposals)}",
        "stage": _STAGES.get(one.stage, "reply"),
        "judged": one.stage in ("static_check", "dry_run"),
        "digest": f"SHA-256 {one.digest[:64]}" if one.digest else "",
        "source": None if one.source is None else told.cut(one.source),
        "reply": None if one.reply is None else told.cut(one.reply),
        "reply_size": plural(len(one.reply or ""), "character"),
        "findings": _findings(one, told),
        "findings_note": _left_out(len(one.findings), _MOST_FINDINGS, "finding"),
        "no_source": "the reply holds none."
        if one.reply is not None
        else "it is not kept in the run folder.",
    }
    view["outcome"], view["outcome_class"] = _outcome(decision, one)
    view.update(_difference(decision, one, told))
    chart = dry_run_chart(one.losses, one.incumbent_losses)
    view["chart"] = chart
    if chart is not None:
        view["dry_run"] = _dry_run(one)
        view["chart_label"] = f"Losses of the dry run. {_dry_run(one)}"
    return view


def _outcome(decision: DecisionStory, one: ProposalTold) -> tuple[str, str]:
    chosen = one.digest and one.digest == decision.digest
    if chosen and decision.verdict in ("applied", "rolled_back"):
        return decision.verdict.replace("_", " "), decision.verdict
    if one.stage == "reply":
        return "no source in the reply", "failed"
    if one.ok is False:
        return f"refused by the {_STAGES[one.stage]}", "failed"
    if one.stage == "dry_run":
        return "passed", "unfinished"
    return "not judged to the end", "unfinished"


def _dry_run(one: ProposalTold) -> str:
    parts = []
    for name, losses in (("proposal", one.losses), ("incumbent", one.incumbent_losses)):
        if losses:
            first, last = loss_text(losses[0]), loss_text(losses[-1])
            parts.append(f"{name} {first} → {last}")
    parts.append(f"{plural(max(len(one.losses) - 1, 0), 'step')}")
    if one.seconds is not None:
        parts.append(f"{seconds_text(one.seconds)} in the rule")
    if one.peak_bytes is not None:
        parts.append(f"{bytes_text(one.peak_bytes)} of memory")
    return ", ".join(parts)


def _findings(one: ProposalTold, told: Told) -> list[View]:
    lines = (one.source or "").splitlines()
    found = []
    for finding in one.findings[:_MOST_FINDINGS]:
        at = finding.line
        text = lines[at - 1].strip() if at and at <= len(lines) else ""
        names = ("rule", "message", "instead")
        said: View = {name: told.sentence(getattr(finding, name)) for name in names}
        found.append(said | {"line": "" if at is None else at, "text": text[:160]})
    return found


def _difference(decision: DecisionStory, one: ProposalTold, told: Told) -> View:
    if one.source is None:
        return {}
    lines = difference(decision.incumbent, one.source)
    view: View = {"diff": None, "changes": "", "incumbent_note": "", "diff_note": ""}
    if decision.incumbent is None:
        name = str(decision.base.get("name") or "of torch")[:80]
        view["incumbent_note"] = (
            f"The incumbent was the base optimizer ({name}), which has no source: "
            f"every line is new."
        )
    if lines is None:
        return view
    new, gone = changes(lines)
    view["changes"] = f"+{new} −{gone} lines"
    if not new and not gone:
        view["diff_note"] = "It is the incumbent's own source."
    most = max(20, told.most // 25)
    view["diff"] = [
        replace(line, text=line.text[:_LINE_CHARACTERS]) for line in lines[:most]
    ]
    if len(lines) > most:
        view["diff_note"] = _left_out(len(lines), most, "line")
    return view


def _stages(decision: DecisionStory) -> tuple[list[View], str]:
    total = sum(stage.seconds for stage in decision.stages)
    if total <= 0:
        return [], ""
    segments, at = [], 0.0
    for stage in decision.stages:
        width = 1000 * stage.seconds / total
        label = f"{stage.name} {seconds_text(stage.seconds)}"
        segments.append(segment(stage.name.replace(" ", "-"), at, width, label))
        at += width
    return segments, ", ".join(str(each["label"]) for each in segments)


def segment(kind: str, x: float, width: float, label: str) -> View:
    """A part of a bar that is 1,000 units wide."""
    return {"kind": kind, "x": round(x, 2), "width": round(width, 2), "label": label}


def _costs(decision: DecisionStory, prices: Prices) -> list[View]:
    usage = decision.usage
    going, coming = usage.get("input_tokens"), usage.get("output_tokens")
    if usage.get("calls") == 0:
        tokens = "none: the model was not called"
    elif going or coming:
        tokens = f"{going or 0:,} in, {coming or 0:,} out"
    else:
        tokens = "unknown: the model reported none"
    facts = [
        ("seconds", seconds_text(decision.seconds)),
        ("calls to the model", str(usage.get("calls", "unknown"))),
        ("tokens", tokens),
        ("money", money_text(prices, [usage])),
    ]
    if decision.went_live:
        facts += [
            ("state carried over", counts_text(decision.carried)),
            ("state dropped", counts_text(decision.dropped)),
            (
                "learning rates",
                f"{rates_text(decision.rates_before)} → {rates_text(decision.rates)}",
            ),
        ]
    if decision.rolled_back_at is not None:
        facts.append(("rolled back at step", f"{decision.rolled_back_at:,}"))
    if decision.digest:
        facts.append(("source", f"sources/{decision.digest}.py"))
    return [{"name": name, "value": value} for name, value in facts]


def _call(decision: DecisionStory, at: int, told: Told) -> View:
    messages = decision.prompts[at]
    shown = []
    for place, (role, content) in enumerate(messages, start=1):
        known = told.messages.get((role, content))
        here = f"message {place} of prompt {at + 1} of decision {decision.number}"
        told.messages.setdefault((role, content), here)
        shown.append(
            {
                "role": role[:40],
                "same_as": f"As {known}." if known else "",
                "content": "" if known else told.cut(content),
            }
        )
    several = len(decision.prompts) > 1
    size = sum(len(content) for _, content in messages)
    return {
        "name": f"Prompt {at + 1}" if several else "Prompt",
        "size": f"{plural(len(messages), 'message')}, {plural(size, 'character')}",
        "messages": shown,
    }
