"""Tries the laws on a source in a jailed process; results come back as plain data."""

import time
from collections.abc import Generator, Iterable

from dux_sandbox.findings import Finding, SourceRejected
from dux_sandbox.golden import Trajectory, is_trajectory
from dux_sandbox.laws import LAWS, LawResult, laws_to_try
from dux_sandbox.laws.compiling import COMPILED
from dux_sandbox.laws.header import with_rule
from dux_sandbox.laws.traits import declared_by
from dux_sandbox.limits import Limits
from dux_sandbox.process.channel import ChannelBroken
from dux_sandbox.process.reported import report_of
from dux_sandbox.process.spawning import forked
from dux_sandbox.static_check import check

_START_SECONDS = 120.0  # hypothesis is imported in the child: 3 s on a busy machine
_MOST_TEXT = 1 << 17
# Python passes it over at the beginning of a file, and nowhere else: not in a script.
_MARK = "\ufeff"
# The live optimizer keeps what a rule holds on itself beside its state, and builds a
# rule anew where groups change: these laws would refuse what is sound behind it.
KEPT_BY_LIVE_OPTIMIZER = ("checkpoint", "add_group", "episode", "scheduler")


def try_laws(
    source: str,
    *,
    examples: int = 50,
    skip: Iterable[str] = (),
    also: Iterable[str] = (),
    seed: int = 0,
    seconds: float = 120.0,
    limits: Limits | None = None,
    quick: bool = False,
    file: str | None = None,
) -> Generator[LawResult, None, None]:
    """Check a source, then try every law on it in a process of its own.

    Nothing of the source runs in this process, and nothing is unpickled.

    Args:
        source: the text of one rule; its docstrings may declare traits.
        examples: drawn for each law; see `check_laws`.
        skip: names of laws that are left out.
        also: names of `OPTIONAL_LAWS` that are tried as well.
        seed: of what is drawn.
        seconds: time for each law; a rule that needs longer breaks it, the line it
            was at is named, and the laws after it are not tried.
        limits: `memory` is used.
        quick: try only a few of the cases made by hand.
        file: where the source lies: scripts take a class from there that is too long
            to be printed with each of them.

    Yields:
        One result for each law, as it comes. Closing the generator ends the process.

    Raises:
        SourceRejected: the static check refuses the source.
        ValueError: `skip` or `also` names no law, `examples` < 0, or an unknown trait.
        HypothesisMissing: `examples` > 0 without the extra `fuzz`.
        IsolationUnavailable: this system cannot isolate.
    """
    source = source.removeprefix(_MARK)
    also = [also] if isinstance(also, str) else list(also)
    wanted = [law.name for law in laws_to_try(examples, skip, also)]
    report = check(source)
    if not report.ok:
        raise SourceRejected(report)
    request = {
        "source": source,
        "traits": sorted(declared_by(source)),
        "examples": examples,
        "skip": [law.name for law in LAWS if law.name not in wanted],
        "also": [name for name in also if name in wanted],
        "seed": seed,
        "quick": quick,
    }
    return _answers(request, wanted, (limits or Limits()).memory, seconds, file)


def _answers(
    request: dict[str, object],
    wanted: list[str],
    memory: int,
    seconds: float,
    file: str | None,
) -> Generator[LawResult, None, None]:
    purpose = {
        "purpose": "laws",
        "memory": memory,
        "draws": bool(request["examples"]),
        "also": request["also"],
    }
    child = forked(purpose)
    try:
        at = ""
        try:
            child.channel.receive(_START_SECONDS)
            child.channel.send(request, None, seconds)
            for at in wanted:
                began = time.monotonic()
                answer, _ = child.channel.receive(seconds, _MOST_TEXT, 0)
                if "refused" in answer:
                    raise SourceRejected(report_of(answer["refused"]))
                result = _result_of(answer, at)
                if time.monotonic() - began > seconds:
                    raise ChannelBroken("time", "it did not answer in time")
                yield LawResult(
                    result.name,
                    result.ok,
                    result.message,
                    with_rule(result.example, str(request["source"]), file),
                )
        except ChannelBroken as error:
            message = f"its process ended: {error}"
            if at == COMPILED.name:
                # The same steps were taken plainly before: it is the tracer's doing.
                late = f"tracing it took more than {seconds:.0f} s"
                why = late if error.rule == "time" else message
                yield LawResult(at, True, f"not tried: {why}")
                return
            if error.rule == "time":
                line = child.last_line()
                where = "" if line is None else f" and was at line {line}"
                message = f"it used more than {seconds:.0f} s{where}"
            yield LawResult(at or wanted[0], False, message)
    finally:
        child.kill()


class TrajectoryFailed(Exception):
    """A source took no golden trajectory; the message says what it did instead."""


def trajectory_of(
    source: str, *, seconds: float = 120.0, limits: Limits | None = None
) -> Trajectory:
    """Check a source, and take its golden trajectory in a process of its own.

    Raises:
        SourceRejected: the static check refuses the source.
        TrajectoryFailed: it raised, took too long, or its process ended.
        IsolationUnavailable: this system cannot isolate.
    """
    source = source.removeprefix(_MARK)
    report = check(source)
    if not report.ok:
        raise SourceRejected(report)
    memory = (limits or Limits()).memory
    child = forked({"purpose": "laws", "memory": memory, "draws": False, "also": []})
    try:
        child.channel.receive(_START_SECONDS)
        child.channel.send({"source": source, "golden": True}, None, seconds)
        answer, _ = child.channel.receive(seconds, _MOST_TEXT * 4, 0)
    except ChannelBroken as error:
        raise TrajectoryFailed(f"its process ended: {error}") from None
    finally:
        child.kill()
    if "refused" in answer:
        raise SourceRejected(report_of(answer["refused"]))
    if "error" in answer:
        raise TrajectoryFailed(f"it raised {_shown(str(answer['error']))[:400]}")
    held = answer.get("golden")
    if not is_trajectory(held):
        raise TrajectoryFailed("its answer is no trajectory")
    return held


def _result_of(answer: dict[str, object], name: str) -> LawResult:
    """One result as the child told it: every field is checked and cut to size."""
    if "error" in answer:
        raise ChannelBroken("died", str(answer["error"])[:500])
    row = answer.get("law")
    if (
        not isinstance(row, list)
        or len(row) != 4
        or row[0] != name
        or type(row[1]) is not bool
        or not isinstance(row[2], str)
        or not isinstance(row[3], str)
    ):
        raise ChannelBroken("channel", "an answer is no result of the law")
    return LawResult(name, row[1], _shown(row[2])[:500], _shown(row[3]))


def _shown(text: str) -> str:
    """Text without what a terminal would obey."""
    return "".join(each if each.isprintable() or each == "\n" else " " for each in text)


def findings_of(results: Iterable[LawResult]) -> list[Finding]:
    """What the broken laws say, for the one who wrote the source."""
    about = {law.name: law for law in LAWS}
    return [
        Finding(
            f"law: {result.name}",
            None,
            f"{result.message}; {_experiment(result.example)}",
            about[result.name].claim,
        )
        for result in results
        if not result.ok
    ]


def _experiment(example: str) -> str:
    """The lines of a script after the factory, cut short."""
    after = example.rpartition("    return ")[2].partition("\n")[2].strip()
    lines = [line for line in after.splitlines() if line.strip()]
    return "seen with: " + "; ".join(lines)[:300] if lines else "seen at once"
