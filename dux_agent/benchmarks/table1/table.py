"""The table: rows over tasks and seeds, each training found once and kept."""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dux_agent.benchmarks.code_digest import versions
from dux_agent.benchmarks.kept_rows import KeptRows, digest_of, name_of_file
from dux_agent.benchmarks.paired import Paired, geometric_mean
from dux_agent.benchmarks.table1.course import Course
from dux_agent.benchmarks.table1.dux_rows import check_model
from dux_agent.benchmarks.table1.named_rows import rows_of
from dux_agent.benchmarks.table1.pace import Pace
from dux_agent.benchmarks.table1.row import Asked, Row
from dux_agent.engines.processes import processes
from dux_agent.engines.workers import Workers
from dux_agent.errors import BadArgument, DuxError
from dux_agent.run_folder.trace import plain
from dux_agent.runs.training import torch_threads

Say = Callable[[str], None]
CONTROL = "control"
_LONG = 7 * 24 * 3600.0  # seconds; no training of a table has a limit


@dataclass(frozen=True)
class Entry:
    """A row on a task.

    Attributes:
        way: the label of what was chosen with hindsight; "" where there was no choice.
        courses: seed by seed.
    """

    way: str
    courses: tuple[Course, ...]

    @property
    def losses(self) -> list[float]:
        """The final test losses, seed by seed."""
        return [course.test[-1] for course in self.courses]

    @property
    def chosen(self) -> str:
        """What was chosen, in words."""
        return self.way or ", ".join(filter(None, (c.chosen for c in self.courses)))


@dataclass(frozen=True)
class Table:
    """What was found.

    Attributes:
        suite: of its rows.
        titles: name of a row -> its title, in order.
        seeds: task -> those that were run.
        entries: task -> row -> what it came to; a row that needs several trainings has
            none on most bases of the family.
        versions: of what it was found with, and on what machine.
    """

    suite: str
    titles: dict[str, str]
    seeds: dict[str, tuple[int, ...]]
    entries: dict[str, dict[str, Entry]] = field(repr=False)
    versions: dict[str, str] = field(repr=False)

    def paired(self, task: str, row: str, other: str = CONTROL) -> Paired | None:
        """A row beside another, seed by seed; None where one of them was not run."""
        held = self.entries[task]
        if row not in held or other not in held:
            return None
        return Paired(held[row].losses, held[other].losses)

    def ratio(self, row: str) -> tuple[float, int]:
        """Geometric mean over tasks of the ratios to the control, and of how many."""
        found = [self.paired(task, row) for task in self.entries]
        ratios = [each.ratio for each in found if each is not None]
        finite = [each for each in ratios if each is not None and each < math.inf]
        return geometric_mean(finite), len(finite)

    def as_json(self) -> str:
        """Everything, as a file keeps it."""
        return json.dumps(plain(asdict(self)), indent=1, allow_nan=False) + "\n"


def make_table(
    suite: str,
    rows: Sequence[str] = (),
    *,
    tasks: Mapping[str, Sequence[int]],
    lm: Any = None,
    folder: Path | None = None,
    workers: int = 1,
    say: Say = lambda line: None,
) -> Table:
    """Train every row on every task from every seed.

    Args:
        suite: "table1" or "ablations".
        rows: those that are wanted; none: all.
        tasks: name -> seeds.
        lm: the language model of the rows that ask one.
        folder: where trainings are kept, and the runs with every reply; None: nowhere.
            What is there is not done again, and a run that died is gone on with.
        workers: processes at a time; a model that is no name is asked in this one.
        say: is told how much there is to do, and of each training as it is over.

    Raises:
        BadArgument: a row or a task means nothing.
        DuxError: the folder cannot be written, data are missing, or the model cannot be
            asked.
    """
    known = rows_of(suite, lm)
    if unknown := [name for name in rows if name not in known]:
        raise BadArgument(
            f"there is no row {unknown[0]!r}; some of {', '.join(known)} were wanted, "
            f"and lm, lm-task, lm-paper, lm-paper-task with --lm NAME; write them with "
            f"commas."
        )
    # Nothing is said without the control.
    wanted = [row for name, row in known.items() if name in {*(rows or known), CONTROL}]
    if any(row.asks for row in wanted):
        check_model(lm)
    jobs = [
        _Job(suite, row.name, way, on, seed)
        for task, seeds in tasks.items()
        for row in wanted
        if (on := row.trained_on(task)) is not None
        for seed in seeds
        for way in row.ways
    ]
    # Seeds first, so that what was ended early says something of every task.
    jobs.sort(key=lambda job: job.seed)
    with _somewhere(folder) as place:
        distinct = list(dict.fromkeys(jobs))
        found = _found(distinct, known, lm, place, workers, say)
    return Table(
        suite=suite,
        titles={row.name: row.title for row in wanted},
        seeds={task: tuple(seeds) for task, seeds in tasks.items()},
        entries={
            task: {
                row.name: _entry(suite, row, on, seeds, found)
                for row in wanted
                if (on := row.trained_on(task)) is not None
            }
            for task, seeds in tasks.items()
        },
        versions=versions("torch", "optuna", "numpy"),
    )


@dataclass(frozen=True)
class _Job:
    """One training: everything that another process needs to find it."""

    suite: str
    row: str
    way: str
    task: str
    seed: int

    def __str__(self) -> str:
        return f"{self.task} {self.row}{'@' * bool(self.way)}{self.way} {self.seed}"


def _entry(
    suite: str,
    row: Row,
    task: str,
    seeds: Sequence[int],
    found: Mapping[_Job, Course],
) -> Entry:
    ways = {
        way: [found[_Job(suite, row.name, way, task, seed)] for seed in seeds]
        for way in row.ways
    }

    def reached(way: str) -> float:
        loss = statistics.fmean(course.test[-1] for course in ways[way])
        return loss if math.isfinite(loss) else math.inf

    best = min(ways, key=reached)
    by_seed = zip(*ways.values(), strict=True)
    courses = [
        ways[best][at].costing(all_ways, ways[best][at].chosen)
        for at, all_ways in enumerate(by_seed)
    ]
    return Entry(best, tuple(courses))


def _done(
    jobs: Sequence[_Job], lm: Any, place: Path, workers: int
) -> Iterator[tuple[_Job, Course]]:
    """Each as it is over."""
    if workers > 1 and len(jobs) > 1 and (lm is None or isinstance(lm, str)):
        with ThreadPoolExecutor(workers) as threads, processes(workers) as made:
            asked = {threads.submit(_asked, made, job, lm, place): job for job in jobs}
            for each in as_completed(asked):
                yield asked[each], each.result()
    else:
        for job in jobs:
            yield job, _find(job, lm, place)


def _asked(made: Workers, job: _Job, lm: str | None, place: Path) -> Course:
    """One course by a worker; one that died is not the end of it."""
    told = {"job": asdict(job), "lm": lm, "place": str(place)}
    [answer] = made.map([({"do": f"{__name__}:course_row", **told}, _LONG)])
    if "why" in answer:
        raise DuxError(
            f"{job}: {answer['why']}; a training was wanted; with --folder what was "
            f"trained is kept, so run it again when that is mended."
        )
    return Course.of_row(answer)


def course_row(job: Mapping[str, Any], lm: str | None, place: str) -> dict[str, Any]:
    """What a worker does: a job as a dict to the row of its course."""
    return _find(_Job(**job), lm, Path(place)).as_row()


def _key(job: _Job, row: Row) -> dict[str, Any]:
    """Everything that a course hangs on."""
    return {
        "task": job.task,
        "seed": job.seed,
        "row": job.row,
        "way": job.way,
        "asks": row.asks,
        "code": row.code,
    }


def _find(job: _Job, lm: Any, place: Path) -> Course:
    """One course, or what is kept of it."""
    row = rows_of(job.suite, lm)[job.row]
    key = _key(job, row)
    name = str(job)
    own = f"{name_of_file(name)}-{digest_of(key)}"
    with torch_threads(1):
        kept = KeptRows(place).row(
            name,
            key,
            lambda: row.ways[job.way](
                Asked(job.task, job.seed, place / "runs" / own)
            ).as_row(),
        )
    return Course.of_row(kept)


def _found(
    jobs: Sequence[_Job],
    rows: Mapping[str, Row],
    lm: Any,
    place: Path,
    workers: int,
    say: Say,
) -> dict[_Job, Course]:
    """All courses, those that are kept first."""
    keeper = KeptRows(place)
    looked = {job: keeper.kept(str(job), _key(job, rows[job.row])) for job in jobs}
    found = {job: Course.of_row(row) for job, row in looked.items() if row is not None}
    pace = Pace.of(
        {str(job): (job.task, rows[job.row].trainings) for job in jobs},
        [(str(job), course) for job, course in found.items()],
        workers,
    )
    say(pace.begin(len(found)))
    rest = [job for job in jobs if job not in found]
    for job, course in _done(rest, lm, place, workers):
        found[job] = course
        say(f"{job}: {course.test[-1]:.4g} {pace.over(str(job), course)}")
    return found


@contextmanager
def _somewhere(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="dux-table1-") as made:
        yield Path(made)
