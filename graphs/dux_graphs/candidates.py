"""The proposals of one try, and what became of each, as plain data."""

from collections.abc import Sequence
from typing import Any

from dux_graphs.asking import Answer
from dux_graphs.search.consulting import variations_by
from dux_graphs.search.strategy import Racing
from dux_graphs.state import CandidateState, DecisionState, Ports
from dux_prompts.observation import Observation
from dux_prompts.reply import Proposal
from dux_sandbox.findings import digest_of


def candidates_of(
    answers: Sequence[Answer], ports: Ports, number: int, refused: list[str]
) -> list[CandidateState]:
    """One candidate for each reply; of equal sources only the first."""
    candidates: list[CandidateState] = []
    for answer in answers:
        proposal = ports.asks.read(answer.reply.text)
        found = isinstance(proposal, Proposal)
        source = proposal.source if isinstance(proposal, Proposal) else ""
        digest = digest_of(source) if found else ""
        if found and digest in [candidate["digest"] for candidate in candidates]:
            continue
        findings = [] if isinstance(proposal, Proposal) else [proposal.as_dict()]
        candidates.append(
            {
                "number": [number, len(candidates) + 1],
                "source": source,
                "digest": digest,
                "findings": findings,
                "refused": refused,
                "model": answer.request.model or "",
                "parents": list(answer.request.parents),
                "usage": dict(answer.reply.usage),
            }
        )
    return candidates


def variations_of(
    candidates: Sequence[CandidateState],
    ports: Ports,
    observation: Observation,
    room: int,
) -> list[CandidateState]:
    """Other forms of the proposals of a try, where the strategy races some.

    They come of no call of their own.

    Args:
        room: how many sources may be tried, the proposals too.
    """
    strategy, made = ports.searches, list(candidates)
    if isinstance(strategy, Racing):
        for proposed in candidates:
            if not proposed["source"]:
                continue
            for source in variations_by(strategy, proposed["source"], observation):
                digest = digest_of(source)
                if len(made) < room and digest not in [c["digest"] for c in made]:
                    number = [proposed["number"][0], len(made) + 1]
                    made.append(
                        {
                            **proposed,
                            "number": number,
                            "source": source,
                            "digest": digest,
                            "parents": [proposed["digest"]],
                            "usage": {},
                        }
                    )
    return made[len(candidates) :]


def said_of(candidate: CandidateState) -> dict[str, Any]:
    """What an event says of a proposal beside what was found."""
    return {"number": candidate["number"], **_call_of(candidate)}


def _call_of(candidate: CandidateState) -> dict[str, Any]:
    """Who was asked for a proposal, of what, and what it cost, where that is known."""
    held = {name: candidate.get(name) for name in ("model", "parents", "usage")}
    return {name: value for name, value in held.items() if value}


def attempt_of(
    candidate: CandidateState,
    stage: str,
    *,
    ok: bool,
    findings: list[dict[str, Any]],
    losses: Sequence[float] = (),
    incumbent_losses: Sequence[float] = (),
) -> dict[str, Any]:
    """What became of a proposal, as the state of a decision holds it."""
    return {
        "try": candidate["number"][0],
        "candidate": candidate["number"][1],
        **_call_of(candidate),
        "source": candidate["source"],
        "digest": candidate["digest"],
        "stage": stage,
        "ok": ok,
        "findings": findings,
        "losses": list(losses),
        "incumbent_losses": list(incumbent_losses),
    }


def to_be_applied(judged: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of these attempts of a try that are still to be applied."""
    out = {a["candidate"] for a in judged if a["stage"] in ("apply", "approve")}
    return [a for a in judged if a["ok"] and a["candidate"] not in out]


def still_passed(state: DecisionState) -> list[dict[str, Any]]:
    """Those of the last try that passed and were neither refused nor unbuilt since."""
    tries = state["tries"]
    return to_be_applied([a for a in state["attempts"] if a["try"] == tries])
