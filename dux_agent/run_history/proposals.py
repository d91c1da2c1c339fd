"""Which reply became which source, and what each stage said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from dux_agent.run_folder.trace import Event
from dux_agent.run_history.records import FindingTold, ProposalTold
from dux_agent.run_history.values import count, items, mapping, number, numbers, text
from dux_prompts.reply import Proposal, read
from dux_sandbox.findings import digest_of

_ALIKE = 100  # proposals of one source that are told apart


def proposals_of(
    events: Iterable[Event], source_of: Callable[[str], str | None]
) -> tuple[ProposalTold, ...]:
    """The proposals of one decision, in order.

    A reply is read as the graph reads it, so that its digest leads to what the later
    stages said. A digest that no reply leads to gets a proposal without a reply.
    """
    told: list[ProposalTold] = []
    places: dict[str, list[int]] = {}  # by digest
    for event in events:
        data = event.data
        if event.kind == "reply":
            told.append(_replied(len(told) + 1, text(data.get("content"))))
            places.setdefault(told[-1].digest, []).append(len(told) - 1)
        elif event.kind in ("static_check", "dry_run"):
            digest = text(data.get("digest"))
            place = _place(told, places.get(digest, []), event.kind)
            if place is None:
                told.append(
                    ProposalTold(
                        len(told) + 1, None, source_of(digest), digest, "unjudged", None
                    )
                )
                place = len(told) - 1
                places[digest] = [place]
            told[place] = _judged(told[place], event.kind, data)
    return tuple(told)


def _place(told: list[ProposalTold], same: list[int], kind: str) -> int | None:
    # The same source may be proposed twice; the first that this stage has not
    # judged yet is meant. More often than this no decision asks.
    waiting = "unjudged" if kind == "static_check" else "static_check"
    for place in same[-_ALIKE:]:
        if told[place].stage == waiting:
            return place
    return same[-1] if same else None


def _replied(place: int, reply: str) -> ProposalTold:
    found = read(reply)
    if isinstance(found, Proposal):
        digest = digest_of(found.source)
        return ProposalTold(place, reply, found.source, digest, "unjudged", None)
    finding = FindingTold(found.rule, found.line, found.message, found.instead)
    return ProposalTold(place, reply, None, "", "reply", False, (finding,))


def _judged(one: ProposalTold, kind: str, data: dict[str, Any]) -> ProposalTold:
    ok = data.get("ok")
    changed = replace(
        one,
        stage=kind,
        ok=ok if isinstance(ok, bool) else None,
        findings=findings_of(data.get("findings")),
    )
    if kind == "static_check":
        return changed
    return replace(
        changed,
        losses=tuple(numbers(data.get("losses"))),
        incumbent_losses=tuple(numbers(data.get("incumbent_losses"))),
        seconds=number(data.get("seconds")),
        peak_bytes=count(data.get("peak_bytes")),
    )


def findings_of(value: Any) -> tuple[FindingTold, ...]:
    """The findings of an event's data."""
    held = [mapping(each) for each in items(value)]
    return tuple(
        FindingTold(
            text(each.get("rule")),
            count(each.get("line")),
            text(each.get("message")),
            text(each.get("instead")),
        )
        for each in held
    )
