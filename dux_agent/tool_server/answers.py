"""What each tool answers, as plain data; nothing of a source runs in this process.

`check` and `fuzz` do what the commands of these names do: the text is parsed and judged
within its limits, and runs in a jailed process only. `trace` and `report` read a run
folder as what anybody may have written.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dux_agent.checking.fuzzing import LawsAsked
from dux_agent.checking.given_options import GivenOptions
from dux_agent.errors import BadArgument
from dux_agent.tool_server.places import Places

if TYPE_CHECKING:
    from dux_sandbox.gathering.modules import SourceFile
    from dux_sandbox.laws import LawResult

MOST_BESIDE = 50
MOST_EXAMPLES = 1000
MOST_SECONDS = 3600.0
# A law that is being tried is not stopped by the time for all of them.
SECONDS_OF_A_LAW = 120.0
# Texts of a run are cut to the first of these with which the answer is small enough:
# whoever asks pays for every character of it.
MOST_ANSWER = 200_000
_TEXT_LIMITS = (40_000, 12_000, 4_000, 1_200, 300)


@dataclass(frozen=True)
class FuzzRequest(LawsAsked):
    """How a rule is to be fuzzed.

    Attributes:
        seconds: after which no further law is begun.
    """

    examples: int = 10
    seconds: float = 300.0

    def check(self, *, mark: str = "") -> None:
        """Raise BadArgument, or MissingExtra where hypothesis is wanted."""
        if not 0 <= self.examples <= MOST_EXAMPLES:
            raise BadArgument(
                f"examples is {self.examples}; it must be from 0 to {MOST_EXAMPLES}."
            )
        if not (0 < self.seconds <= MOST_SECONDS and math.isfinite(self.seconds)):
            raise BadArgument(
                f"seconds is {self.seconds}; it must be > 0 and at most "
                f"{MOST_SECONDS:.0f}."
            )
        super().check(mark=mark)


class Answers:
    """The four tools over the files under one folder.

    What cannot be meant raises a DuxError, whose message is the client's to read.
    """

    def __init__(
        self, places: Places, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._places = places
        self._clock = clock

    def check(
        self,
        source: str | None,
        path: str | None,
        *,
        classes: Sequence[str],
        beside: Sequence[str],
        options: Sequence[str] = (),
        static: bool,
        given_up: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        """What `dux check --json` prints of one file.

        Args:
            source: the text itself, or
            path: a file under the root.
            classes: those that are meant; all of them by default.
            beside: files under the root that are judged with it, as one source.
            options: `NAME=VALUE`, in place of the defaults of its constructors.
            static: only read the source; run nothing.
            given_up: asked before each class is tried; True ends the trial.
        """
        from dux_agent.checking.vetting import vet
        from dux_agent.run_folder.trace import plain

        named = self._places.source(source, path)
        vetted = vet(
            named.name,
            named.text,
            static=static,
            names=classes,
            beside=self._beside(beside),
            options=GivenOptions.of(options),
            given_up=given_up,
        )
        record: dict[str, Any] = plain(vetted.as_dict())
        return record

    def _beside(self, paths: Sequence[str]) -> list[SourceFile]:
        from dux_sandbox.gathering.modules import SourceFile

        if len(paths) > MOST_BESIDE:
            raise BadArgument(
                f"beside names {len(paths)} files; at most {MOST_BESIDE} are taken; "
                f"name those that the source imports."
            )
        named = [self._places.source(None, path) for path in paths]
        return [SourceFile(each.name, each.text) for each in named]

    def fuzz(
        self,
        source: str | None,
        path: str | None,
        request: FuzzRequest,
        *,
        classes: Sequence[str],
        beside: Sequence[str],
        options: Sequence[str] = (),
        on_result: Callable[[LawResult], None],
        given_up: Callable[[], bool],
    ) -> dict[str, Any]:
        """What `dux fuzz --json` prints of one file.

        Args:
            source: the text itself, or
            path: a file under the root.
            request: how.
            classes: the one that is meant, where the file has several.
            beside: files under the root that are judged with it, as one source.
            options: `NAME=VALUE`, in place of the defaults of its constructors.
            on_result: told each result as it comes.
            given_up: asked after each law; True ends the trial.
        """
        from dux_agent.checking.fuzzing import fuzz
        from dux_agent.checking.rule_texts import rules_of

        request.check()
        named = self._places.source(source, path)
        given = (self._beside(beside), GivenOptions.of(options))
        rules = rules_of(named.name, named.text, classes, *given)
        if len(rules) > 1:
            raise BadArgument(
                f"{named.name} has {len(rules)} optimizers, "
                f"{', '.join(str(rule.name) for rule in rules)}; one is fuzzed at a "
                f"time; name it in classes."
            )
        ends = self._clock() + request.seconds

        def stop() -> str:
            if given_up():
                return "the call was given up"
            if self._clock() >= ends:
                return f"the {request.seconds:g} s for all laws are over"
            return ""

        done = fuzz(
            named.name,
            rules[0],
            request,
            seconds=SECONDS_OF_A_LAW,
            at=None if named.file is None else str(named.file),
            on_result=on_result,
            stop=stop,
        )
        return done.as_dict()

    def trace(self, folder: str, *, decision: int | None) -> dict[str, Any]:
        """What `dux trace --json` prints; events and sources of one decision only.

        Texts are cut where the answer would be longer than `MOST_ANSWER` characters.
        """
        from dux_agent.run_history.reading import read_story
        from dux_agent.run_history.record import record_of

        record = record_of(read_story(self._places.folder(folder)), decision)
        if decision is None:
            for each in record["decisions"]:
                del each["events"], each["source"]
        return shortened(record)

    def report(self, folder: str) -> dict[str, Any]:
        """Write `report.html` into a run folder, as `dux report` does; say where."""
        from dux_agent.report.page import write_report
        from dux_agent.run_history.reading import read_story

        found = self._places.folder(folder)
        written = write_report([found])
        run = read_story(found)
        return {
            "report": str(written),
            "decisions": len(run.decisions),
            "epochs": [asdict(epoch) for epoch in run.epochs],
        }


def shortened(value: dict[str, Any]) -> dict[str, Any]:
    """Plain data whose texts are cut until it is at most `MOST_ANSWER` characters.

    Raises:
        BadArgument: it is too long even then.
    """
    for most in _TEXT_LIMITS:
        cut: dict[str, Any] = _cut(value, most)
        size = len(json.dumps(cut))
        if size <= MOST_ANSWER:
            return cut
    raise BadArgument(
        f"the answer would hold {size} characters; at most {MOST_ANSWER} are sent; ask "
        f"for one decision by its number, or read the run folder itself."
    )


def _cut(value: Any, most: int) -> Any:
    if isinstance(value, str) and len(value) > most:
        return f"{value[:most]}… ({len(value) - most} more characters)"
    if isinstance(value, dict):
        return {key: _cut(each, most) for key, each in value.items()}
    if isinstance(value, list):
        return [_cut(each, most) for each in value]
    return value
