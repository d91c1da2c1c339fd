"""The lesson of an entry in one line: by the rules always, by a model where one is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dux_agent.experience.entry import Entry
from dux_agent.experience.situation import Situation
from dux_graphs.redaction import hide_secrets_of
from dux_graphs.trouble import cause_of, text_of
from dux_prompts.experience import read_lesson, render_lesson_request
from dux_prompts.figures import figure

if TYPE_CHECKING:
    from dux_graphs.language_model import LanguageModel

log = logging.getLogger(__name__)

_FLAT = 0.03  # of the loss, over an interval
_EARLY, _LATE = 0.34, 0.67


def lesson_by_rules(entry: Entry) -> Entry:
    """The entry with what its figures say."""
    rate = "" if entry.rate is None else f" at {figure(entry.rate)}"
    what = f"{entry.family or 'a rule'}{rate}"
    said = f"{_where(entry.situation)}, {_came(entry, what)}"
    return entry.taught(said[0].upper() + said[1:], "rules")


def lessons_by_model(entries: Sequence[Entry], model: LanguageModel) -> Iterator[Entry]:
    """The entries with lessons that a model writes; those of the rules where it fails.

    Once it has failed it is not asked again.
    """
    hide_secrets_of(model.chat)
    going = True
    for entry in entries:
        lesson = ""
        if going:
            asked = render_lesson_request(entry.as_dict())
            try:
                answer = model.ask([{"role": "user", "content": asked}])
                lesson = read_lesson(text_of(answer))
            # Whatever the model raises: the lesson of the rules is there.
            except Exception as error:
                going = False
                log.warning(
                    "the model writes no lessons any more: %s; the rest have those of "
                    "the rules",
                    cause_of(error),
                )
        yield entry.taught(lesson, "model") if lesson else entry


def _where(situation: Situation) -> str:
    if situation.change is None:
        trend = "with no loss seen"
    elif situation.change > _FLAT:
        trend = "on a rising loss"
    else:
        trend = "on a flat loss" if situation.change > -_FLAT else "on a falling loss"
    stage = situation.stage
    when = ""
    if stage is not None:
        when = " early" if stage < _EARLY else " late" if stage > _LATE else " halfway"
    live = f" with {situation.live} live" if situation.live else ""
    return f"{trend}{when}{live}"


def _came(entry: Entry, what: str) -> str:
    change, before = entry.change, entry.before
    if entry.verdict == "trained" and change is not None:
        if entry.did_well:
            return f"{what} ends below AdamW's defaults: begin with it"
        return f"{what} does not end below AdamW's defaults: another kind or rate"
    if entry.verdict == "rolled_back":
        return f"{what} did harm: smaller steps or another kind"
    if entry.verdict == "refused":
        return f"{what} was refused: avoid what was found"
    if change is None:
        return f"{what} passed its dry run, and no more is known"
    if not entry.did_well:
        return f"{what} did not bring the loss down: another kind or rate"
    if before is not None and change > before:
        return f"{what} still brought the loss down, by less than before"
    return f"{what} brought the loss down faster than before: try it first"
