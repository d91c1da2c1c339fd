"""Whether a source and a rewrite of it take the same steps under plain torch.

Each runs in a locked process of its own, without the guards of a rule and with nothing
but the jail around it; what comes back is numbers, and they are compared here.
"""

import ast
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dux_sandbox.findings import printable
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.limits import Limits
from dux_sandbox.plain_steps import Episode, parting
from dux_sandbox.process.channel import ChannelBroken
from dux_sandbox.process.spawning import forked

_START_SECONDS = 120.0
# Without these a file that no check has passed is not run at all.
_LAYERS = ("rlimits", "no-new-privs", "seccomp")
_MOST_JSON = 64 << 20
_MOST_MISSING = 20

# By class, the literals of arguments that have no default.
Given = Mapping[str, Mapping[str, str]]


class CannotRun(Exception):
    """A file could not be run as it is; the message says why."""


@dataclass(frozen=True)
class PlainRun:
    """What came of running a file.

    Attributes:
        episodes: by class, what `dux_sandbox.plain_steps.episodes` gives.
        missing: packages that a stand-in was put in place of.
        places: lines and columns, in bytes, of what was computed of the file.
        values: of the constants that were asked for, those that are plain, as literals.
    """

    episodes: dict[str, dict[str, Episode]]
    missing: tuple[str, ...] = ()
    places: frozenset[tuple[int, int]] = frozenset()
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def lines(self) -> frozenset[int]:
        """The lines of the file of which something was computed."""
        return frozenset(line for line, _ in self.places)


def run_plainly(
    files: Sequence[SourceFile],
    given: Given,
    *,
    watch: bool = False,
    values: Sequence[str] = (),
    seconds: float = 60.0,
    limits: Limits | None = None,
) -> PlainRun:
    """Run a file and the steps of its classes in a process of its own.

    Args:
        files: the file, by its full path, and those that it may import.
        given: the classes, each with values for arguments without a default.
        watch: whether to note what is computed of the file.
        values: constants at the top level of the file whose values are wanted.
        seconds: for running the file and all of its classes.
        limits: `memory` is used.

    Raises:
        CannotRun: it raises, takes too long, or the system cannot lock the process.
        IsolationUnavailable: this system cannot isolate.
    """
    child = forked({"purpose": "plain", "memory": (limits or Limits()).memory})
    held: dict[str, dict[str, Episode]] = {}
    request = {
        "files": [[file.name, file.text, file.named, file.folder] for file in files],
        "classes": [[name, list(values.items())] for name, values in given.items()],
        "watch": watch,
        "values": list(values),
    }
    try:
        layers, _ = child.channel.receive(_START_SECONDS)
        left = _left(seconds)
        active = {row[0] for row in layers["layers"] if row[1] is True}
        lacking = [name for name in _LAYERS if name not in active]
        if lacking:
            raise CannotRun(
                f"this system lacks {', '.join(lacking)} of the jail: see `dux doctor`"
            )
        if layers["reached"]:
            raise CannotRun(
                f"{' and '.join(layers['reached'])} can be reached out of the jail, "
                f"though its layers say that they hold: see `dux doctor`"
            )
        child.channel.send(request, None, seconds)
        for name in given:
            answer = _answer(child.channel.receive(left(), _MOST_JSON, 0)[0])
            held[name] = _episodes(answer.get("episodes"))
        answer = _answer(child.channel.receive(left(), _MOST_JSON, 0)[0])
    except ChannelBroken as error:
        late = f"it took more than {seconds:.0f} s"
        told = late if error.rule == "time" else f"its process ended: {error}"
        raise CannotRun(told) from None
    except (KeyError, TypeError, IndexError, ValueError, OverflowError):
        raise CannotRun("its answer makes no sense") from None
    finally:
        child.kill()
    missing = tuple(
        printable(str(name)[:60])
        for name in _listed(answer.get("missing"))[:_MOST_MISSING]
    )
    places = frozenset(_places(answer.get("places")))
    return PlainRun(held, missing, places, _literals(answer.get("values"), values))


def _left(seconds: float) -> Callable[[], float]:
    """Says how much of a time is left; some always, for an answer that is there."""
    until = time.monotonic() + seconds
    return lambda: max(0.1, until - time.monotonic())


def _places(value: object) -> Iterator[tuple[int, int]]:
    for place in _listed(value):
        if isinstance(place, list) and [int, int] == [type(each) for each in place]:
            yield place[0], place[1]


def _literals(held: object, wanted: Sequence[str]) -> dict[str, str]:
    """Literals as a process told them: nothing but a plain value is one."""
    found: dict[str, str] = {}
    for name, text in held.items() if isinstance(held, dict) else ():
        try:
            value = ast.literal_eval(str(text)[:400])
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        if name in wanted and (value is None or type(value) in (bool, int, float, str)):
            found[name] = repr(value)
    return found


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _answer(answer: dict[str, object]) -> dict[str, object]:
    if "error" in answer:
        raise CannotRun(f"it raised {printable(str(answer['error']))[:300]}")
    return answer


def _episodes(held: object) -> dict[str, Episode]:
    """Episodes as a process told them: every value is looked at."""
    if not isinstance(held, dict):
        raise ValueError("no episodes")
    made: dict[str, Episode] = {}
    for name, (rows, raised) in held.items():
        if not isinstance(rows, list) or not isinstance(raised, str):
            raise ValueError("no episode")
        made[printable(str(name)[:200])] = (
            [[float(each) for each in row] for row in rows],
            printable(raised)[:120],
        )
    return made


def stepless(run: PlainRun) -> str:
    """The first class that takes no step in a run, and why; "" where all do."""
    for name, held in run.episodes.items():
        if not any(rows and not raised for rows, raised in held.values()):
            raised = next((said for _, said in held.values() if said), "nothing")
            return f"{name} takes no step at all: it raised {raised}"
    return ""


def difference(one: PlainRun, other: PlainRun) -> str:
    """Where the steps of two runs part, or why nothing is known; "" where nowhere."""
    for name, held in one.episodes.items():
        parts = parting(held, other.episodes.get(name, {}))
        if parts:
            return f"{name}, {parts}"
    return stepless(one)
