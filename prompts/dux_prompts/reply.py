"""Reads the proposal out of a reply: the source of one optimizer, or a finding.

A reply comes as it comes: with thinking before it, with fences of every kind, in
several blocks, as JSON, without any fence. What is read is made of pieces of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dux_prompts.composing import composed
from dux_prompts.partial_edits import edit_in
from dux_prompts.reply_blocks import Parts, parts_of, tidy
from dux_prompts.reply_json import texts_in
from dux_prompts.reply_sources import Holds, Written, plain, without_prose_behind
from dux_prompts.thinking import answer_behind
from dux_sandbox.findings import Finding

REPLY_CHARACTERS = 400_000
"""A longer reply is not looked at: no optimizer is near that long."""

# Lone surrogates cannot be written to a UTF-8 trace, and NULs end C strings.
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_SOURCE_BEGINS = re.compile(
    r"(?:^[ \t]*|>)(?=import [\w.]+(?: as \w+)?(?:,.*)?$|from [\w.]+ import [\w*(]"
    r"|class \w+ *(?:\(.*\))? *:|@[\w.]+(?:\(.*\))?$|\"\"\"|'''(?!py))"
)
# What servers leave of the signs that end a turn.
_TURN_ENDS = (
    *("<|im_end|>", "<|end|>", "<|endoftext|>", "<|eot_id|>", "<|return|>"),
    *("<｜end▁of▁sentence｜>", "<end_of_turn>", "<eos>", "</s>"),
)
_MOST_TURN_ENDS = 4
_WHOLE = "the complete class in one fenced block: ```python ... ```"
_SHORTER = f"{_WHOLE}, shorter than before, and nothing after it"


@dataclass(frozen=True)
class Proposal:
    """A source and its reasoning, as the model answered.

    Attributes:
        source: the text of one optimizer; ends in one line feed.
        why: the prose around it, often empty (the reasons stand in the comments).
    """

    source: str = field(repr=False)
    why: str = ""


def cleaned(text: str) -> str:
    """The text with what no file or terminal can hold replaced by U+FFFD.

    Line ends become line feeds.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNWRITABLE.sub("\ufffd", text)


def read(text: str) -> Proposal | Finding:
    """The proposal in a reply, or the finding that says what is missing.

    The last block that defines an optimizer class counts, since a model that corrects
    itself writes the better version last; a usage example, a test or an output after it
    does not. Imports and helpers that it lacks and another block defines are put
    before it. A reply that is nothing but source, or JSON that holds it, counts too.

    Never raises, and takes time linear in the length of the reply.

    >>> read("Here:\\n```python\\nimport torch\\n```\\nDone.").source
    'import torch\\n'
    """
    if len(text) > REPLY_CHARACTERS:
        return _found(
            f"the reply has {len(text)} characters, more than {REPLY_CHARACTERS}",
            "one short class in one fenced Python block",
        )
    text = _without_turn_ends(cleaned(text).removeprefix("\ufeff"))
    answer = answer_behind(text)
    if answer is not None and not answer.strip():
        return _found("found thoughts and no answer behind them")
    return _read_answer(text if answer is None else answer, inside_json=False)


def _read_answer(text: str, *, inside_json: bool) -> Proposal | Finding:
    bare = _unfenced(text.split("\n"), before_fences=True)
    if bare is not None and bare.tree is not None and bare.holds() >= Holds.A_STEP:
        return Proposal(bare.text)
    parts, blocks, rule = _rule_in(text)
    if rule is not None:
        return _proposal(parts, blocks, rule)
    if not inside_json:
        found = _in_json(text, blocks)
        if found is not None:
            return found
    bare = _unfenced(parts.prose)
    if bare is not None and bare.holds() >= Holds.A_STEP:
        return _CUT_OFF if bare.cut else Proposal(bare.text)
    return _without_a_rule(text, parts, blocks)


def _rule_in(text: str) -> tuple[Parts, list[Written], int | None]:
    """The reply in parts, its blocks, and which of them is the rule."""
    parts = parts_of(text, strings=True)
    blocks = _written(parts)
    rule = _rule_among(blocks)
    if rule is None or blocks[rule].tree is None:
        # A string that is never closed may have swallowed the fences after it.
        other = parts_of(text, strings=False)
        candidates = _written(other)
        better = _rule_among(candidates)
        if better is not None and candidates[better].tree is not None:
            return other, candidates, better
    return parts, blocks, rule


def _written(parts: Parts) -> list[Written]:
    blocks = []
    for block in parts.blocks:
        text = plain(block.text)
        if not block.closed:
            text = without_prose_behind(text)
        blocks.append(Written(text, block.closed, block.language in ("", "python")))
    return blocks


def _rule_among(blocks: Sequence[Written]) -> int | None:
    """Index of the last block that defines an optimizer, or what comes nearest."""
    rules = frozenset[str]().union(*(block.rules() for block in blocks))
    ranks = []
    for index, block in enumerate(blocks):
        held = block.holds(rules - block.rules())
        if held >= Holds.A_STEP:
            ranks.append((held, block.tree is not None or block.python, index))
    return max(ranks)[2] if ranks else None


def _proposal(parts: Parts, blocks: Sequence[Written], rule: int) -> Proposal | Finding:
    if blocks[rule].cut:
        return _CUT_OFF
    return Proposal(tidy(composed(blocks, rule)), "\n".join(parts.prose).strip())


def _in_json(text: str, blocks: Sequence[Written]) -> Proposal | Finding | None:
    """The last optimizer among the texts of JSON; None where there is no such JSON."""
    for held in (text, *(block.text for block in blocks if not block.python)):
        texts = texts_in(held)
        for number in range(len(texts) - 1, -1, -1):
            inner = cleaned(texts[number])
            if "class " not in inner:
                continue
            found = _read_answer(inner, inside_json=True)
            if isinstance(found, Proposal):
                others = texts[:number] + texts[number + 1 :]
                return replace(found, why=cleaned("\n".join(others)))
            if found == _CUT_OFF:
                return found
    return None


def _unfenced(lines: Sequence[str], *, before_fences: bool = False) -> Written | None:
    """The source among lines without a fence round it, if any begins there.

    Args:
        before_fences: only one that begins before the first fence, which then stands
            in a string of the source.
    """
    found = ((n, _SOURCE_BEGINS.search(line)) for n, line in enumerate(lines))
    first, start = next(((n, begun.end()) for n, begun in found if begun), (-1, 0))
    if first < 0:
        return None
    if before_fences and any("```" in line or "~~~" in line for line in lines[:first]):
        return None
    margin = lines[first][:start]
    if margin.strip():  # a tag opens the source
        lines = [*lines[:first], lines[first][start:], *lines[first + 1 :]]
        margin = ""
    while first and lines[first - 1].startswith(f"{margin}#"):
        first -= 1
    last = first
    while last < len(lines) and (
        not lines[last].strip() or lines[last].startswith(margin)
    ):
        last += 1
    source = without_prose_behind(tidy("\n".join(lines[first:last])))
    return Written(tidy(source), closed=False)


def _without_a_rule(
    text: str, parts: Parts, blocks: Sequence[Written]
) -> Proposal | Finding:
    """A block for the static check to refuse, or what was found in its place."""
    if parts.thinking:
        return _found("found a reply that ends inside its thoughts", _SHORTER)
    edit = edit_in(text)
    if edit is not None:
        return _found(f"found {edit}, and no complete class")
    python = [block for block in blocks if block.python]
    likely = [block for block in python if "class " in block.text] or python
    if likely:
        last = likely[-1]
        if last.cut:
            return _CUT_OFF
        return Proposal(last.text, "\n".join(parts.prose).strip())
    if not text.strip():
        return _found("found an empty reply")
    thought = "\n".join(parts.thought)
    if thought.strip() and "class " in thought:
        return _found(
            "found no Python block in the reply: the class stands in its thoughts only"
        )
    if blocks:
        kinds = dict.fromkeys(block.language[:20] or "none" for block in parts.blocks)
        return _found(f"found no Python block in the reply, only: {', '.join(kinds)}")
    if text.lstrip().startswith(("{", "[")):
        return _found("found no Python block in the reply, only JSON without a class")
    return _found("found no Python block in the reply")


def _found(message: str, instead: str = _WHOLE) -> Finding:
    return Finding("reply", None, message, instead)


_CUT_OFF = _found(
    "found a truncated reply: it ends in the middle of its code", _SHORTER
)


def _without_turn_ends(text: str) -> str:
    for _ in range(_MOST_TURN_ENDS):
        bare = text.rstrip()
        end = next((each for each in _TURN_ENDS if bare.endswith(each)), None)
        if end is None:
            break
        text = bare.removesuffix(end)
    return text
