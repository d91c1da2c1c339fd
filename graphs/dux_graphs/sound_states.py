"""Whether a state that a checkpointer kept can be one of a decision.

A checkpoint is input: a run that goes on from it goes by its verdicts, sources and
counts, so each is looked at before it is believed.
"""

from collections.abc import Mapping
from typing import Any

from dux_sandbox.findings import digest_of

_VERDICTS = ("", "applied", "kept", "failed")
_ROLES = ("system", "user", "assistant")
_MOST_TRIES = 1_000_000


class UnreadableState(ValueError):
    """What a checkpointer keeps was not written by this version, or by anyone else."""


def refuse_unsound(state: Mapping[str, Any]) -> None:
    """Raise UnreadableState where a `DecisionState` is none.

    A state that is only begun lacks most of its entries.
    """
    for name in ("tries", "awaited"):
        _want(_is_count(state.get(name, 0)), name)
    _want(state.get("verdict", "") in _VERDICTS, "verdict")
    _want(isinstance(state.get("reason", ""), str), "reason")
    _want(isinstance(state.get("approved"), str | None), "approved")
    _want(isinstance(state.get("observation", {}), dict), "observation")
    messages, attempts = state.get("messages", []), state.get("attempts", [])
    _want(isinstance(messages, list) and all(map(_is_message, messages)), "messages")
    _want(are_sound_attempts(attempts), "attempts")
    _want(isinstance(state.get("checked", []), list), "checked")
    for candidate in state.get("checked", []):
        _want(isinstance(candidate, dict), "checked")
        refuse_unsound_candidate(candidate)
    source, digest = state.get("source"), state.get("digest")
    # What is applied was tried before; of nothing else is there a record.
    tried = [attempt["source"] for attempt in attempts if attempt["ok"]]
    if source is not None or digest is not None or state.get("verdict") == "applied":
        _want(_fits(source, digest) and source in tried, "source")


def refuse_unsound_candidate(state: Mapping[str, Any]) -> None:
    """Raise UnreadableState where a `CandidateState` is none."""
    number, refused = state.get("number"), state.get("refused")
    _want(
        isinstance(number, list) and len(number) == 2 and all(map(_is_count, number)),
        "number",
    )
    _want(_are_findings(state.get("findings")), "findings")
    _want(
        isinstance(refused, list) and all(isinstance(d, str) for d in refused),
        "refused",
    )
    _want(_is_call(state), "call")
    source, digest = state.get("source"), state.get("digest")
    _want(_fits(source, digest) or (source, digest) == ("", ""), "source")


def are_sound_attempts(attempts: Any) -> bool:
    """Whether that is a list of attempts, as a `DecisionState` holds them."""
    return isinstance(attempts, list) and all(map(_is_attempt, attempts))


def _want(sound: bool, name: str) -> None:
    if not sound:
        raise UnreadableState(f"the {name} that it keeps is none of a decision")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST_TRIES


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.keys() == {"role", "content"}
        and message["role"] in _ROLES
        and isinstance(message["content"], str)
    )


def _is_attempt(attempt: Any) -> bool:
    if not isinstance(attempt, dict):
        return False
    source, digest = attempt.get("source"), attempt.get("digest")
    return (
        _is_count(attempt.get("try"))
        and _is_count(attempt.get("candidate"))
        and (_fits(source, digest) or (source, digest) == ("", ""))
        and isinstance(attempt.get("stage"), str)
        and isinstance(attempt.get("ok"), bool)
        and _are_findings(attempt.get("findings"))
        and _are_losses(attempt.get("losses"))
        and _are_losses(attempt.get("incumbent_losses"))
        and _is_call(attempt)
    )


def _is_call(held: Mapping[str, Any]) -> bool:
    """Whether it says soundly who was asked, what of, and what that cost."""
    parents, usage = held.get("parents", []), held.get("usage", {})
    return (
        isinstance(held.get("model", ""), str)
        and isinstance(parents, list)
        and all(isinstance(digest, str) for digest in parents)
        and isinstance(usage, dict)
        and all(type(number) in (int, float) for number in usage.values())
    )


def _fits(source: Any, digest: Any) -> bool:
    """A source changed on the disk no longer has the name it was judged by."""
    return isinstance(source, str) and digest == digest_of(source)


def _are_findings(findings: Any) -> bool:
    return isinstance(findings, list) and all(
        isinstance(finding, dict)
        and finding.keys() == {"rule", "line", "message", "instead"}
        and (finding["line"] is None or type(finding["line"]) is int)
        and all(isinstance(finding[key], str) for key in ("rule", "message", "instead"))
        for finding in findings
    )


def _are_losses(losses: Any) -> bool:
    return isinstance(losses, list) and all(
        type(loss) is float or type(loss) is int for loss in losses
    )
