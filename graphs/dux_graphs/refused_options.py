"""Which option of a model a server refuses, and the same model without it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dux_graphs.http_status import status_of
from dux_graphs.too_long import is_too_long

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

_REFUSES = {400, 422}
_FIELDS = (
    *("seed", "temperature", "max_tokens", "top_p", "top_k", "min_p"),
    *("frequency_penalty", "presence_penalty", "logit_bias", "logprobs"),
    *("top_logprobs", "n", "stop", "stop_sequences", "reasoning", "reasoning_effort"),
    *("thinking", "verbosity", "service_tier", "store", "stream_usage"),
)
"""Fields of chat models that go to the server and can be left out."""

_HELD = ("model_kwargs", "extra_body")
_ALSO_CALLED = {
    "max_tokens": ("max_completion_tokens", "max_output_tokens", "max_new_tokens"),
    "stream_usage": ("stream_options", "include_usage"),
    "stop": ("stop_sequences",),
    "reasoning_effort": ("reasoning",),
}
# Of an option, without saying which.
_OF_SOME_OPTION = re.compile(
    r"(?:un(?:known|recogni[sz]ed|supported|expected)|extra|invalid|not (?:permitted|"
    r"allowed|supported))\W.{0,60}?(?:param|argument|option|field|input|key|propert)"
    r"|(?:param|argument|option|field|input|key|propert)\w*\W.{0,60}?(?:un(?:known|"
    r"recogni[sz]ed|supported|expected)|not (?:permitted|allowed|supported))",
    re.IGNORECASE | re.DOTALL,
)
_LOOKED_AT = 4000


def options_sent(chat: BaseChatModel, options: Mapping[str, Any]) -> list[str]:
    """The options that go to the server with each call, and could be left out."""
    # A seed of 0 is one.
    unset = (None, False)
    held_here = {name: getattr(chat, name, None) for name in _FIELDS}
    sent = [n for n, value in held_here.items() if not any(value is u for u in unset)]
    for holder in _HELD:
        held = getattr(chat, holder, None)
        sent += list(held) if isinstance(held, dict) else []
    return [*dict.fromkeys([*sent, *options])]


def refused(error: BaseException, sent: list[str]) -> list[str]:
    """The options among `sent` that an error of a server names as refused.

    All of them where it speaks of one without a name.
    """
    if status_of(error) not in _REFUSES or is_too_long(error):
        return []
    details = [getattr(error, name, None) for name in ("param", "body")]
    said = " ".join([str(error), *(str(each) for each in details if each)])
    said = said[:_LOOKED_AT]
    named = [
        name
        for name in sent
        if any(
            re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", said)
            for each in (name, *_ALSO_CALLED.get(name, ()))
        )
    ]
    # "n" and "stop" are words too.
    sure = [name for name in named if len(name) > len("stop")]
    if sure or named:
        return sure or named
    return list(sent) if _OF_SOME_OPTION.search(said) else []


def without(chat: BaseChatModel, names: list[str]) -> BaseChatModel:
    """A copy of the chat model that does not send these options."""
    fields = type(chat).model_fields
    update: dict[str, Any] = {name: None for name in names if name in fields}
    for holder in _HELD:
        held = getattr(chat, holder, None)
        if isinstance(held, dict) and not held.keys().isdisjoint(names):
            left = {key: value for key, value in held.items() if key not in names}
            update[holder] = left or ({} if holder == "model_kwargs" else None)
    return chat.model_copy(update=update) if update else chat
