"""The replies in the trace of a run, as `dux_graphs.recorded` plays them."""

from collections.abc import Iterable
from typing import Any

from dux_graphs.events import ApplyEvent, ErrorEvent, EventBody, PromptEvent, ReplyEvent
from dux_graphs.plain_json import read_json


def answers_in(bodies: Iterable[EventBody]) -> list[dict[str, Any]]:
    """What became of each prompt of a trace, in order, as `RecordedChatModel` plays it.

    Trouble that another call mended is left out: a replay waits for nobody.
    """
    found: list[dict[str, Any]] = []
    waiting: dict[str, str] = {}  # what was said of prompts without a reply

    def give_up() -> None:
        for digest, failure in waiting.items():
            if failure:
                found.append({"prompt_digest": digest, "failure": failure})
        waiting.clear()

    for body in bodies:
        if isinstance(body, PromptEvent):
            if body.digest not in waiting and any(waiting.values()):
                give_up()
            waiting.setdefault(body.digest, "")
        elif isinstance(body, ErrorEvent) and waiting:
            # Older traces do not say whose call it was: the last one's.
            digest = body.prompt if body.prompt in waiting else next(reversed(waiting))
            waiting[digest] = waiting[digest] or body.message
        elif isinstance(body, ReplyEvent):
            waiting.pop(body.prompt, None)
            usage = _tokens(body.usage)
            found.append(
                {"prompt_digest": body.prompt, "reply": body.content, "usage": usage}
            )
        elif isinstance(body, ApplyEvent):
            give_up()
    give_up()
    return found


def fact(facts: Any, name: str) -> str:
    """A text in a JSON object; "" where it is none."""
    value = facts.get(name) if isinstance(facts, dict) else None
    return value if isinstance(value, str) else ""


def reply_of_event(line: str, model: str) -> dict[str, Any] | None:
    """A reply in a line of a trace, as a recording has it; None for other events.

    A line that is no event is the torn last one, or somebody else's: it is passed over,
    as readers of a trace do.
    """
    # Most lines are losses: a look at the text is a hundred times faster.
    if '"reply"' not in line:
        return None
    try:
        event = read_json(line, nan=True)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("kind") != "reply":
        return None
    data = event.get("data")
    if not isinstance(data, dict):
        return None
    digest, content = data.get("prompt"), data.get("content")
    if not isinstance(digest, str) or not isinstance(content, str):
        return None
    return {
        "prompt_digest": digest,
        "reply": content,
        "model": fact(data, "model") or model,
        "usage": _tokens(data.get("usage")),
    }


def _tokens(usage: Any) -> dict[str, int] | None:
    """What a trace says of the tokens of a call, as a message carries it."""
    names = ("input_tokens", "output_tokens", "total_tokens")
    held = usage if isinstance(usage, dict) else {}
    counts = {name: held.get(name, 0) for name in names}
    sound = all(type(count) is int and count >= 0 for count in counts.values())
    return counts if sound and any(counts.values()) else None
