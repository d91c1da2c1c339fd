"""Which reply became which source, and what each stage said of it."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from dux_agent.run_folder.trace import Event
from dux_agent.run_history.records import ProposalTold
from dux_graphs.events import DryRunEvent, ReplyEvent, StaticCheckEvent
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
        body = event.body
        if isinstance(body, ReplyEvent):
            told.append(_replied(len(told) + 1, body.content))
            places.setdefault(told[-1].digest, []).append(len(told) - 1)
        elif isinstance(body, StaticCheckEvent | DryRunEvent):
            digest = body.digest
            place = _place(told, places.get(digest, []), body.kind)
            if place is None:
                told.append(
                    ProposalTold(
                        len(told) + 1, None, source_of(digest), digest, "unjudged", None
                    )
                )
                place = len(told) - 1
                places[digest] = [place]
            told[place] = _judged(told[place], body)
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
    return ProposalTold(place, reply, None, "", "reply", False, (found,))


def _judged(one: ProposalTold, body: StaticCheckEvent | DryRunEvent) -> ProposalTold:
    changed = replace(one, stage=body.kind, ok=body.ok, findings=body.findings)
    if isinstance(body, StaticCheckEvent):
        return changed
    return replace(
        changed,
        losses=body.losses,
        incumbent_losses=body.incumbent_losses,
        seconds=body.seconds,
        peak_bytes=body.peak_bytes,
    )
