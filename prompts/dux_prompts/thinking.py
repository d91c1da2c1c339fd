"""What a model thinks aloud before its answer, and the signs that enclose it."""

import re
from dataclasses import dataclass

_NAMES = (
    r"think|thinking|thoughts?|reasoning|reason|reflection|analysis|scratch_?pad"
    r"|antthinking|(?:inner_|internal_)?monologue|chain_of_thought|cot"
)
# A tag in inline code or quotes is spoken of, and opens nothing.
_OPENS = re.compile(
    rf"""(?<![`"'])(?:
        <(?P<tag>(?:\w{{1,12}}:)?(?:{_NAMES}))(?:\s[^<>\n]{{0,200}})?>
      | (?P<bracket>\[think\])
      | (?P<kimi>◁think▷)
      | (?P<cohere><\|start_thinking\|>)
      | (?P<thought><\|begin_of_thought\|>)
      | (?P<harmony><\|channel\|>(?:analysis|commentary)(?:\s[^<>\n]{{0,80}})?
          <\|message\|>)
      | (?P<details><details\s[^<>\n]{{0,80}}type="reasoning"[^<>\n]{{0,200}}>)
    )(?![`"'])""",
    re.IGNORECASE | re.VERBOSE,
)
_CLOSES = {
    "bracket": r"\[/think\]",
    "kimi": r"◁/think▷",
    "cohere": r"<\|end_thinking\|>",
    "thought": r"<\|end_of_thought\|>",
    "harmony": r"<\|end\|>|<\|start\|>|<\|channel\|>final<\|message\|>",
    "details": r"</details>",
}
_ANY_CLOSE = re.compile(
    rf"(?<![`\"'])(?:</(?:\w{{1,12}}:)?(?:{_NAMES})\s*>|\[/think\]|◁/think▷|<\|end_thinking\|>"
    r"|<\|end_of_thought\|>)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Thought:
    """Thinking that begins in a line.

    Attributes:
        before: the line up to it.
        behind: the line after the sign that opens it.
        closes: finds the sign that closes it.
    """

    before: str
    behind: str
    closes: re.Pattern[str]


def thought_in(line: str) -> Thought | None:
    """The first thinking that begins in a line, if any."""
    found = _OPENS.search(line)
    if found is None:
        return None
    sign = _CLOSES.get(found.lastgroup or "tag") or rf"</{re.escape(found['tag'])}\s*>"
    return Thought(
        line[: found.start()], line[found.end() :], re.compile(sign, re.IGNORECASE)
    )


def answer_behind(text: str) -> str | None:
    """What follows thinking whose opening sign is missing; None where none is.

    Some servers put that sign into the prompt: the reply then begins with thoughts and
    holds the closing one alone.
    """
    close = _ANY_CLOSE.search(text)
    if close is None:
        return None
    line = text[text.rfind("\n", 0, close.start()) + 1 : close.start()]
    if "#" in line:
        return None  # a comment that speaks of it
    opened = _OPENS.search(text, 0, close.start())
    return None if opened is not None else text[close.end() :]
