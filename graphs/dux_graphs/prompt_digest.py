"""The name of a prompt: one hash wherever it is recorded, recalled or played."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

_HINT_CHARACTERS = 200
_ROLES = {"human": "user", "ai": "assistant", "chat": "user"}


def digest_of_prompt(messages: Sequence[BaseMessage]) -> str:
    """The name of a prompt: SHA-256 of its messages, 64 hex digits."""
    return digest_of_chat([(_ROLES.get(m.type, m.type), str(m.text)) for m in messages])


def digest_of_chat(chat: Sequence[tuple[str, str]]) -> str:
    """The same, of `(role, text)` pairs with the roles system, user and assistant."""
    plain = [list(pair) for pair in chat]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hint_of_prompt(messages: Sequence[BaseMessage]) -> str:
    """The beginning of the last message on one line, for people and near misses."""
    text = str(messages[-1].text) if messages else ""
    return " ".join(text.split())[:_HINT_CHARACTERS]
