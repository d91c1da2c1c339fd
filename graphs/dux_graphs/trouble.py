"""Tells trouble with a language model, which another call may mend, from the rest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dux_graphs.http_status import status_of
from dux_graphs.redaction import REDACTED, redactor
from dux_graphs.too_long import is_too_long
from dux_sandbox.findings import printable

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_LATER = {408, 409, 425, 429}
"""HTTP statuses below 500 that ask the client to come back later."""

_NEVER = {501, 505}
"""HTTP statuses of 500 and above that no later call mends."""

_SPENT = re.compile(r"insufficient_quota|billing_hard_limit|credit balance", re.I)
"""A 429 that says so is no rate: nothing comes until somebody pays."""

_NAMES_OF_TROUBLE = {
    *("APIConnectionError", "APIError", "APIResponseValidationError"),
    *("APITimeoutError", "DeadlineExceeded", "IncompleteRead", "OverloadedError"),
    *("ResourceExhausted", "ServiceUnavailable", "ThrottlingException"),
}
"""Exceptions of the providers' clients, which are not imported only to be named."""

_CUT_SHORT = {
    *("MAX_TOKENS", "content_filter", "length", "max_tokens"),
    *("model_context_window_exceeded", "model_length"),
}
_TEXTS = {"text", "output_text"}
_THOUGHTS = {"thinking", "redacted_thinking", "reasoning", "reasoning_content"}
"""What providers call the blocks of a reply."""

_SECRET = re.compile(
    r"\b(?:sk|pk|key|rk)-[\w*.-]{3,}|(?i:bearer)\s+\S+|\b[A-Za-z0-9_-]{40,}\b"
)
_REASON_CHARACTERS = 300


class ReplyTrouble(Exception):
    """The model answered, but not with a whole reply: empty, cut short, no choice."""


def text_of(message: BaseMessage) -> str:
    """The text of a chat model's answer.

    Raises:
        ReplyTrouble: the reply is empty or was cut short (`finish_reason`
            "length" and its like): another call may bring a whole one.
    """
    metadata = message.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    if reason in _CUT_SHORT:
        raise ReplyTrouble(f"truncated reply: it ended with finish_reason={reason!r}")
    text = _said(message.content)
    if text.strip():
        return text
    if _thought(message):
        raise ReplyTrouble("empty reply: the model thought and did not answer")
    raise ReplyTrouble("empty reply: the model answered without any text")


def _said(content: Any) -> str:
    """The text of a reply, without the blocks of other kinds: thinking, calls, images.

    Blocks are joined as they are: providers cut where they like.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for block in content:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block, Mapping) and block.get("type", "text") in _TEXTS:
            text = block.get("text")
            texts.append(text if isinstance(text, str) else "")
    return "".join(texts)


def _thought(message: BaseMessage) -> bool:
    held = message.additional_kwargs
    return bool(held.get("reasoning_content") or held.get("reasoning")) or any(
        isinstance(block, Mapping) and block.get("type") in _THOUGHTS
        for block in (message.content if isinstance(message.content, list) else ())
    )


def is_trouble(error: BaseException) -> bool:
    """Whether the same call may do better a little later.

    True of timeouts, lost connections, 429 and its like, 5xx, and of replies that are
    empty, cut short or no JSON. False of 401, 403, 404, of a prompt that is too long,
    a quota that is spent, and everything else: asking the same again would only cost
    time.
    """
    if is_too_long(error):
        return False
    if isinstance(error, ReplyTrouble):
        return True
    status = status_of(error)
    if status is not None and status >= 400:
        if status == 429 and _SPENT.search(f"{error} {getattr(error, 'code', '')}"):
            return False
        return status in _LATER or (status >= 500 and status not in _NEVER)
    return (
        isinstance(error, TimeoutError | ConnectionError | json.JSONDecodeError)
        or any(kind.__name__ in _NAMES_OF_TROUBLE for kind in type(error).__mro__)
        or any(
            kind.__module__.split(".")[0] in ("httpx", "httpcore", "requests")
            and kind.__name__ in ("TransportError", "ConnectionError", "Timeout")
            for kind in type(error).__mro__
        )
        or _without_choices(error)
    )


def _without_choices(error: BaseException) -> bool:
    """Whether LangChain stumbled over an answer without any choice.

    It takes the first one without looking: IndexError for an empty list, TypeError
    where the list itself is missing. The same errors from a caller's code are bugs.
    """
    if not isinstance(error, IndexError | TypeError | KeyError):
        return False
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = frame.tb_frame.f_globals.get("__name__", "") if frame is not None else ""
    return str(place).startswith("langchain") and (
        isinstance(error, IndexError) or "choices" in str(error)
    )


def cause_of(error: BaseException) -> str:
    """One line that names what went wrong, with nothing secret in it.

    >>> cause_of(ReplyTrouble("empty reply: the model answered without any text"))
    'empty reply: the model answered without any text'
    """
    # Before it is cut: half a key is no longer recognised.
    said = redactor()(" ".join(printable(str(error)).split()))
    said = _SECRET.sub(REDACTED, said)[:_REASON_CHARACTERS]
    if is_too_long(error):
        return f"the prompt is too long: {said}"
    if isinstance(error, ReplyTrouble):
        return said
    status = status_of(error)
    if status is not None and status >= 400:
        kind = _STATUS.get(status, "server error" if status >= 500 else "refused")
        return f"{kind} ({status}): {said}"
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, TimeoutError) or kinds & {"APITimeoutError", "Timeout"}:
        return f"timeout: {said}"
    if isinstance(error, ConnectionError) or kinds & {"APIConnectionError"}:
        return f"connection lost: {said}"
    if _without_choices(error):
        return f"no choices in the answer: {said}"
    unread = "APIResponseValidationError" in kinds
    if isinstance(error, json.JSONDecodeError) or unread:
        return f"the answer is no JSON: {said}"
    return f"{type(error).__name__}: {said}"


_STATUS = {
    401: "not authorised",
    403: "forbidden",
    404: "not found",
    408: "timeout",
    429: "rate limit",
}
