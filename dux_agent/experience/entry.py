"""One entry of a library: a situation, what was proposed in it, and what came of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dux_agent.experience.situation import Situation, finite
from dux_agent.run_folder.trace import plain
from dux_agent.showing import one_line
from dux_prompts.experience import LESSON_CHARACTERS

SOURCE_CHARACTERS = 64_000
"""A longer source is not kept."""

_KEY = re.compile(r"[0-9a-f]{16}")
_DIGEST = re.compile(r"([0-9a-f]{64})?")
_TEXTS = {"run": 64, "origin": 80, "proposed": 160, "family": 20, "verdict": 20}
_TEXTS |= {"reason": 200, "lesson": LESSON_CHARACTERS, "written_by": 20}
_PAYS = 0.01  # a loss that fell by less has not


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What one proposal has taught.

    Attributes:
        key: names it in its library; of the same proposal of the same run the same.
        run: identity of the run that it is of.
        origin: what that run's folder was called, for people.
        decision, proposal: which it was in the run, from 1; of a search which source,
            and which task.
        situation: where the training stood.
        digest: of the source as it was proposed.
        source: its text; "" where it is not kept.
        proposed: its name and its idea, on one line.
        family, rate: its kind, and its learning rate by itself, as far as can be read.
        verdict: "applied", "rolled_back", "refused", "passed" (its dry run, and another
            went live), or "trained" (whole, by a search).
        reason: why, where there is a reason.
        change: of the loss over its interval, as a share; of one that was trained,
            beside AdamW's at its defaults.
        before: of the loss over the interval before, under its predecessor.
        lesson: on one line.
        written_by: who wrote the lesson: "rules", "model" or "hand".
    """

    key: str
    run: str
    origin: str = ""
    decision: int = 1
    proposal: int = 1
    situation: Situation = field(default_factory=Situation)
    digest: str = ""
    source: str = field(default="", repr=False)
    proposed: str = ""
    family: str = ""
    rate: float | None = None
    verdict: str = ""
    reason: str = ""
    change: float | None = None
    before: float | None = None
    lesson: str = ""
    written_by: str = "rules"

    @property
    def did_well(self) -> bool:
        """It went live and the loss fell, or it was trained and ended below AdamW."""
        lived = self.verdict in ("applied", "trained")
        return lived and self.change is not None and self.change <= -_PAYS

    @property
    def facts(self) -> dict[str, Any]:
        """What is recorded, without the lesson: another one makes it no other entry."""
        return {k: v for k, v in asdict(self).items() if k not in _SAID}

    def taught(self, lesson: str, written_by: str) -> Entry:
        """It with another lesson, without secrets and on one line."""
        said = one_line(str(plain(lesson)), LESSON_CHARACTERS)
        return replace(self, lesson=said, written_by=written_by)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "situation": self.situation.as_dict()}

    @classmethod
    def of(cls, **parts: Any) -> Entry:
        """One that is new: free of secrets, within its bounds, named by what it is of.

        Args:
            parts: the attributes but `key`.
        """
        place = f"{parts['run']}:{parts['decision']}:{parts['proposal']}"
        key = hashlib.sha256(place.encode()).hexdigest()[:16]
        # Before anything is cut: half a secret is none that could be found.
        told = plain(cls(**parts, key=key).as_dict())
        names = {"key": key, "run": parts["run"], "digest": parts.get("digest", "")}
        return cls.from_dict({**told, **names})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Entry:
        """What `as_dict` gave, or anybody wrote, cut to its bounds.

        Raises:
            ValueError: it has no key, or a number that no entry has.
        """
        key, digest, source = (data.get(k) for k in ("key", "digest", "source"))
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise ValueError("an entry without a key")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise ValueError("an entry whose digest is none")
        if not isinstance(source, str) or len(source) > SOURCE_CHARACTERS:
            source = ""
        held: dict[str, Any] = {"key": key, "digest": digest, "source": source}
        for name, most in _TEXTS.items():
            value = data.get(name)
            held[name] = one_line(value[:4096], most) if isinstance(value, str) else ""
        for name in ("decision", "proposal"):
            value = data.get(name)
            if type(value) is not int or not 0 <= value < 2**31:
                raise ValueError(f"an entry whose {name} is no number")
            held[name] = value
        situation = data.get("situation")
        known = situation if isinstance(situation, Mapping) else {}
        for name in ("rate", "change", "before"):
            held[name] = finite(data.get(name))
        return cls(**held, situation=Situation.from_dict(known))


_SAID = ("lesson", "written_by")
