"""The texts inside a reply that is JSON, or holds some."""

import ast
import json
import re
from contextlib import suppress
from itertools import islice
from typing import Any

from dux_sandbox.language.before_parsing import limits_passed
from dux_sandbox.language.quiet_parsing import quiet_parser

_MOST_STARTS = 8
_DEEPEST = 12
_START = re.compile(r'[{\[](?=\s*["{\[])')


def texts_in(text: str) -> list[str]:
    """Every text of the first JSON value in `text`, in order; lists of lines joined.

    >>> texts_in('{"why": "flat", "code": ["import torch", "x = 1"]}')
    ['flat', 'import torch\\nx = 1']
    """
    bare = text.strip()
    for value in _whole(bare) or _held(bare):
        found: list[str] = []
        _collect(value, found, 0)
        if found:
            return found
    return []


def _whole(bare: str) -> list[Any]:
    """The value that all of a text is: JSON, or nearly so."""
    if bare.startswith(("{", "[", '"')):
        with suppress(ValueError, RecursionError):
            # Strict JSON has no line feeds in texts; models write them all the same.
            return [json.loads(bare, strict=False)]
        # As Python writes it: other quotes, a comma too many.
        with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            with quiet_parser():
                if limits_passed(bare) is None:
                    return [ast.literal_eval(bare)]
    elif "\n" not in bare and "\\n" in bare:
        # Line feeds written out, without the quotes that belong round them.
        for text in (f'"{bare}"', '"' + bare.replace('"', '\\"') + '"'):
            with suppress(ValueError):
                return [json.loads(text, strict=False)]
    return []


def _held(bare: str) -> list[Any]:
    """The JSON values that begin somewhere in a text."""
    decoder = json.JSONDecoder(strict=False)
    values: list[Any] = []
    past = 0
    for start in islice(_START.finditer(bare), _MOST_STARTS):
        if start.start() < past:
            continue
        with suppress(ValueError, RecursionError):
            value, past = decoder.raw_decode(bare, start.start())
            values.append(value)
    return values


def _collect(value: Any, found: list[str], depth: int) -> None:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        if value.strip():
            found.append(value)
    elif isinstance(value, dict):
        for each in value.values():
            _collect(each, found, depth + 1)
    elif isinstance(value, list):
        lines = [each for each in value if isinstance(each, str)]
        if lines and len(lines) == len(value):
            found.append("\n".join(line.removesuffix("\n") for line in lines))
        else:
            for each in value:
                _collect(each, found, depth + 1)
