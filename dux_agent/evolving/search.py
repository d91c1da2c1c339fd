"""One search, or one baseline: bred, examined, trained, and written down."""

from __future__ import annotations

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dux_agent.engines.workers import Answer, Job, Workers
from dux_agent.errors import BadArgument
from dux_agent.evolving.journal import EXAMINED, PARTS, Journal
from dux_agent.evolving.plan import EvolvePlan
from dux_agent.evolving.scoring import cost_of, log_ratio, price_of
from dux_agent.formatting import plural
from dux_graphs.evolution.individual import Draft, Individual, Standing, Values
from dux_graphs.evolution.racing import rung
from dux_graphs.evolution.search import BY, Climbed, Evolution
from dux_graphs.evolution.syntax import structure
from dux_sandbox.zoo import entry

Training = dict[str, Any]
"""`{"task", "seed", "share", "split"}`, see `dux_agent.evolving.training.train`."""

REFERENCE = "reference"
"""AdamW as the zoo has it, to whose losses all losses are compared."""

Beside = Callable[[int, Answer], Values]
"""The place of a job and its answer to the values beside the reference."""

_EXAMINE, _TRAIN = (f"dux_agent.evolving.training:{e}" for e in ("examine", "train"))
_BATCH = 8  # bred at a time, however many workers there are
_CELLS = 4  # of straightness, and most bytes a byte that are told apart


def _no_values(place: int, answer: Answer) -> Values:
    return ()


class Bench:
    """Finds out about sources: from the journal, or by the workers, then written down.

    Attributes:
        plan: the options of the search.
        reference: AdamW at its defaults.
        turn: held by the arm that thinks, and let go while it waits for workers:
            CPython 3.11 parses in one thread at a time (gh-106905).
    """

    def __init__(self, plan: EvolvePlan, journal: Journal, workers: Workers) -> None:
        self.plan, self._journal, self._workers = plan, journal, workers
        self._lawful: dict[str, set[str]] = defaultdict(set)  # by arm
        self._referred: dict[tuple[Any, ...], Answer] = {}
        self.turn, self._referring = threading.Lock(), threading.Lock()
        draft = Draft(entry("adamw").source, "AdamW at its defaults.")
        self.reference = Individual(1, draft, REFERENCE, (), 0)

    def examine(
        self, arm: str, ones: Sequence[Individual], *, laws: bool = True
    ) -> list[Answer]:
        """What the stages before the trainings say of each.

        Args:
            laws: they are tried on structures that are not known to keep them.
        """
        seconds = self.plan.trial_seconds
        stage = EXAMINED if laws else PARTS
        jobs: list[tuple[Individual, str, Job]] = []
        for one in ones:
            source = one.draft.source
            tried = laws and structure(source) not in self._lawful[arm]
            job = {"source": source, "laws": tried, "seconds": seconds}
            jobs.append((one, stage, {"do": _EXAMINE, **job}))
        # All laws and the dry run keep within it together only where nothing hangs.
        answers = self._answers(arm, jobs, 3 * seconds)
        for one, answer in zip(ones, answers, strict=True):
            if laws and "why" not in answer:
                self._lawful[arm].add(structure(one.draft.source))
        return answers

    def train(
        self,
        arm: str,
        stage: str,
        ones: Sequence[tuple[Individual, Sequence[Training]]],
    ) -> list[tuple[Answer, Values]]:
        """What trainings of each gave, and its losses beside the reference's."""
        self.refer_to([each for _, trainings in ones for each in trainings])

        def values(place: int, answer: Answer) -> Values:
            return self._values(answer, ones[place][1])

        most = max((len(trainings) for _, trainings in ones), default=0)
        seconds = most * self.plan.trial_seconds
        jobs = [(one, stage, self._job(one, trainings)) for one, trainings in ones]
        answers = self._answers(arm, jobs, seconds, values)
        return [(answer, values(at, answer)) for at, answer in enumerate(answers)]

    def tell(self, arm: str, one: Standing) -> None:
        """Write down what stopped an individual where no job did."""
        if self._journal.known(arm, one.individual, one.stopped) is None:
            self._journal.keep(arm, one.individual, one.stopped, {"why": one.why})

    def price(self, source: str, answer: Answer) -> float:
        """What the cost of a source adds to its score."""
        return price_of(cost_of(source, answer), self.plan.prices)

    def _job(self, one: Individual, trainings: Sequence[Training]) -> Job:
        job = {"source": one.draft.source, "trainings": list(trainings)}
        return {"do": _TRAIN, "execution": self.plan.execution, **job}

    def refer_to(self, trainings: Sequence[Training]) -> None:
        """Have the reference trained as often; once for all arms, which wait for it."""
        one, seconds = self.reference, self.plan.trial_seconds
        with self._turn_of_others():
            self._referring.acquire()
        try:
            left = {_key(e): e for e in trainings if _key(e) not in self._referred}
            jobs = [(one, _in_words(e), self._job(one, [e])) for e in left.values()]
            for key, answer in zip(
                left, self._answers(REFERENCE, jobs, seconds), strict=True
            ):
                if "why" in answer:
                    raise BadArgument(
                        f"AdamW at its defaults gives nothing to compare with: "
                        f"{answer['why']}; tasks that it trains were wanted; leave "
                        f"that one out."
                    )
                self._referred[key] = answer
        finally:
            self._referring.release()

    def step_seconds(self, trainings: Sequence[Training]) -> float:
        """What the reference's steps took in these, which it was trained in."""
        return math.fsum(self._referred[_key(e)]["seconds"] for e in trainings)

    @contextmanager
    def _turn_of_others(self) -> Iterator[None]:
        self.turn.release()
        try:
            yield
        finally:
            self.turn.acquire()

    def _values(self, answer: Answer, trainings: Sequence[Training]) -> Values:
        pairs = zip(answer.get("losses", ()), trainings, strict=False)
        return tuple(
            log_ratio(loss, self._referred[_key(each)]["losses"][0])
            for loss, each in pairs
        )

    def _answers(
        self,
        arm: str,
        jobs: Sequence[tuple[Individual, str, Job]],
        seconds: float,
        values: Beside = _no_values,
    ) -> list[Answer]:
        """The answer to each job; twice the same individual and stage is one job."""
        answers = [self._journal.known(arm, one, stage) for one, stage, _ in jobs]
        places: dict[tuple[str, str], list[int]] = {}
        for at, (one, stage, _) in enumerate(jobs):
            if answers[at] is None:
                places.setdefault((one.draft.source, stage), []).append(at)
        left = [same[0] for same in places.values()]

        def done(place: int, answer: Answer) -> None:
            one, stage, _ = jobs[left[place]]
            beside = list(values(left[place], answer))
            self._journal.keep(arm, one, stage, answer, values=beside)

        with self._turn_of_others():
            found = self._workers.map([(jobs[at][2], seconds) for at in left], done)
        for same, answer in zip(places.values(), found, strict=True):
            for at in same:
                answers[at] = answer
        return [answer or {} for answer in answers]


def search(
    arm: str, evolution: Evolution, bench: Bench, say: Callable[[str], None]
) -> None:
    """Breed, examine and train until the budget is spent, or nothing new is bred."""
    budget, straight = bench.plan.budget, {}
    while evolution.evaluations < budget:
        asked = evolution.ask(min(_BATCH, budget - evolution.evaluations))
        if not asked:
            say(f"{arm}: nothing new can be bred any more")
            return
        came = bench.examine(arm, [one.individual for one in asked])
        for one, answer in zip(asked, came, strict=True):
            if "why" in answer:
                evolution.stop(one, answer["stage"], answer["why"])
            elif evolution.is_twin(one, answer["fingerprint"]):
                bench.tell(arm, one)
            else:
                straight[one.individual.number] = answer["straightness"]
        _climb(arm, evolution, bench, straight)
        evolution.generation_over()
        say(_told(arm, evolution, budget))
    for line in _told_of_models(evolution):
        say(f"{arm}: {line}")


def _climb(
    arm: str, evolution: Evolution, bench: Bench, straight: Mapping[int, float]
) -> None:
    living = evolution.islands.living()
    going = [one for one in living if not one.stopped]
    climbing = evolution.climbers()
    for one in going:
        if one.stopped:
            bench.tell(arm, one)
    for place in sorted({place for _, place in climbing}):
        ones = [one for one, at in climbing if at == place]
        trainings = trainings_of(bench.plan.tasks, place)
        jobs = [(one.individual, trainings) for one in ones]
        for one, (answer, values) in zip(
            ones, bench.train(arm, rung(place).name, jobs), strict=True
        ):
            if "why" in answer:
                evolution.stop(
                    one, answer.get("stage", rung(place).name), answer["why"]
                )
                continue
            before = one.values[-1] if place > 1 else ()
            bytes_, way = answer["bytes"], straight.get(one.individual.number, 0.0)
            cell = (min(_CELLS, round(bytes_)), int(_CELLS * way))
            came = Climbed(
                before + values,
                bench.price(one.individual.draft.source, answer),
                one.cell or cell,
                len(values) * rung(place).share,
            )
            evolution.climbed(one, came)


def trainings_of(tasks: Sequence[str], place: int) -> list[Training]:
    """Those of a rung that the rung below it has not had."""
    here = rung(place)
    first = rung(place - 1).seeds if place > 1 else 0
    return [
        {"task": task, "seed": seed, "share": here.share, "split": "val"}
        for seed in range(first, here.seeds)
        for task in tasks
    ]


def _told(arm: str, evolution: Evolution, budget: int) -> str:
    best = evolution.best
    told = f"{arm}: {evolution.evaluations} of {budget}"
    if best is None:
        return told
    loss = 100 * math.expm1(best.score() - best.price)
    return (
        f"{told} evaluations, {evolution.twins} twins; best: "
        f"{best.individual.number} by {best.individual.operator}, loss {loss:+.1f} % "
        f"({rung(best.rung).name})"
    )


def _told_of_models(evolution: Evolution) -> Iterator[str]:
    """Where several models are asked: each with its operators, what came and cost."""
    for name, each in evolution.tallies.items():
        if BY in name:
            yield (
                f"{name} was asked {plural(each.asked, 'time')}, {each.wins} came "
                f"ahead, at the cost of {each.cost:.1f} full trainings"
            )


def _key(training: Training) -> tuple[Any, ...]:
    return tuple(training.values())


def _in_words(training: Training) -> str:
    return ", ".join(f"{name} {value}" for name, value in training.items())
