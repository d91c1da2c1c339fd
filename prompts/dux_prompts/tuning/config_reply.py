"""Reads a configuration out of a reply: the last JSON object, fenced or bare."""

import json
import re
from dataclasses import dataclass
from typing import Any

from dux_prompts.reply import REPLY_CHARACTERS, cleaned
from dux_prompts.thinking import answer_behind
from dux_sandbox.findings import Finding

WHY_CHARACTERS = 2000
"""So much is kept of the reason that a reply gives."""

_MOST_OBJECTS = 2000
_FENCE = re.compile(r"^[ \t]*(?:`{3,}|~{3,})[^\n]*$", re.MULTILINE)
_BETWEEN = re.compile(r"[\s,;]*")


@dataclass(frozen=True)
class Configuration:
    """What a model proposes.

    Attributes:
        config: the JSON object as it was written.
        why: the prose before it.
    """

    config: dict[str, Any]
    why: str = ""


class _Unsound(ValueError):
    """JSON that is one no configuration can be."""


def read_configuration(text: str) -> Configuration | Finding:
    """The configuration in a reply, or what is wrong with the reply; never raises.

    >>> read_configuration('C was too large.\\n{"C": 0.5}')
    Configuration(config={'C': 0.5}, why='C was too large.')
    """
    if len(text) > REPLY_CHARACTERS:
        return _found(too_long(text))
    text = answer_in(text)
    try:
        objects = _objects(text)
    except _Unsound as error:
        return _found(str(error))
    if not objects:
        return _found("the reply holds no whole JSON object")
    begin, end, config = objects[-1]
    if len(objects) > 1:
        between = text[objects[-2][1] : begin]
        if _BETWEEN.fullmatch(between):
            return _found("the reply holds two JSON objects, one behind the other")
    if re.search(r"\[[\s{]*$", text[:begin]) and re.match(r"[\s,]*\]", text[end:]):
        return _found("the reply holds a list")
    nested = [name for name, value in config.items() if isinstance(value, dict | list)]
    if nested:
        return _found(f"{nested[0][:80]!r} holds a list or an object, and no value")
    why = " ".join(_FENCE.sub(" ", text[:begin]).split())
    return Configuration(config, why[:WHY_CHARACTERS])


def too_long(text: str) -> str:
    """What is wrong with a reply of more characters than are read."""
    return f"the reply has {len(text)} characters, more than {REPLY_CHARACTERS}"


def answer_in(text: str) -> str:
    """A reply without what a model thinks before it."""
    text = cleaned(text)
    answer = answer_behind(text)
    return text if answer is None else answer


def _objects(text: str) -> list[tuple[int, int, dict[str, Any]]]:
    """Each JSON object that stands in none, with where it begins and ends.

    Raises:
        _Unsound: the last one that can be read is none of a configuration.
    """
    decoder = json.JSONDecoder(
        strict=False, object_pairs_hook=_once, parse_constant=_constant
    )
    found: list[tuple[int, int, dict[str, Any]]] = []
    fault: _Unsound | None = None
    at = text.find("{")
    for _ in range(_MOST_OBJECTS):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(text, at)
        except _Unsound as error:
            fault, end = error, at + 1
        except (ValueError, RecursionError):
            end = at + 1
        else:
            found.append((at, end, value))
            fault = None
        at = text.find("{", end)
    if fault is not None:
        raise fault
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Unsound(f"{twice[:80]!r} stands twice in the JSON object")
    return held


def _constant(name: str) -> Any:
    raise _Unsound(f"the JSON object holds {name}, which is no number")


def _found(what: str) -> Finding:
    return Finding(
        "reply", None, what, "one JSON object with one value for each hyperparameter"
    )
