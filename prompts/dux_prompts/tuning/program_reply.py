"""Reads a program out of a reply: one block of Python, or several that make one."""

from collections.abc import Sequence

from dux_prompts.reply import REPLY_CHARACTERS
from dux_prompts.reply_blocks import Block, Parts, parts_of
from dux_prompts.reply_sources import plain, without_prose_behind
from dux_prompts.tuning.config_reply import (
    WHY_CHARACTERS,
    Configuration,
    answer_in,
    too_long,
)
from dux_prompts.tuning.program import SOURCE
from dux_sandbox.findings import Finding
from dux_sandbox.programs.contract import examine, tree_of

_MOST_BLOCKS = 50  # that are looked at, from the last one back
_WHOLE = "the whole program in one fenced block: ```python ... ```"


def read_program(text: str) -> Configuration | Finding:
    """The program in a reply, or what is wrong with the reply; never raises.

    The last block that is a program counts; where none is, all of them together, since
    a model may write the parts of one in blocks of their own.

    >>> read_program("```python\\ndef fit_predict(a, b, c, d): ...\\n```").config
    {'source': 'def fit_predict(a, b, c, d): ...\\n'}
    """
    if len(text) > REPLY_CHARACTERS:
        return _found(too_long(text))
    text = answer_in(text)
    if not text.strip():
        return _found("found an empty reply, or thoughts and no answer behind them")
    parts = _parts(text)
    python = [each for each in parts.blocks if each.language in ("", "python")]
    blocks = python[-_MOST_BLOCKS:]
    if not blocks:
        bare = text.strip() + "\n"
        if examine(bare).entry:
            return Configuration({SOURCE: bare})
        return _found("found no Python block in the reply")
    if not blocks[-1].closed and isinstance(tree_of(blocks[-1].text), Finding):
        return _found("found a truncated reply: it ends in the middle of its code")
    why = " ".join(" ".join(parts.prose).split())
    return Configuration({SOURCE: _program(blocks)}, why[:WHY_CHARACTERS])


def _parts(text: str) -> Parts:
    """The reply in parts; a string that is never closed may hide the end of a block."""
    parts = parts_of(text, strings=True)
    if any(examine(block.text).entry for block in parts.blocks[-_MOST_BLOCKS:]):
        return parts
    other = parts_of(text, strings=False)
    return other if len(other.blocks) > len(parts.blocks) else parts


def _program(blocks: Sequence[Block]) -> str:
    texts = [
        plain(each.text if each.closed else without_prose_behind(each.text))
        for each in blocks
    ]
    for each in reversed(texts):
        if examine(each).entry:
            return each
    together = "\n\n".join(texts)
    return together if examine(together).entry else texts[-1]


def _found(what: str) -> Finding:
    return Finding("reply", None, what, _WHOLE)
