"""One search, or one baseline: bred, examined, trained, and written down."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.evolving.journal import Journal
from dux_agent.evolving.plan import EvolvePlan
from dux_agent.evolving.workers import Answer, Job, Workers
from dux_graphs.evolution.individual import Draft, Individual, Standing, Values
from dux_graphs.evolution.racing import rung
from dux_graphs.evolution.search import Climbed, Evolution
from dux_graphs.evolution.syntax import lines_of, structure
from dux_sandbox.zoo import entry

Training = dict[str, Any]
"""`{"task", "seed", "share", "split"}`, see `dux_agent.evolving.training.train`."""

REFERENCE = "reference"
"""AdamW as the zoo has it, to whose losses all losses are compared."""

EXAMINED, PARTS = "examined", "examined in parts"
"""Stages before the trainings: of an individual, and of a winner's shorter twins."""

Beside = Callable[[int, Answer], Values]
"""The place of a job and its answer to the values beside the reference."""

_BATCH = 8  # bred at a time, however many workers there are
_CELLS = 4  # of straightness, and most bytes a byte that are told apart


def _no_values(place: int, answer: Answer) -> Values:
    return ()


class Bench:
    """Finds out about sources: from the journal, or by the workers, then written down.

    Attributes:
        plan: the options of the search.
    """

    def __init__(self, plan: EvolvePlan, journal: Journal, workers: Workers) -> None:
        self.plan, self._journal, self._workers = plan, journal, workers
        self._lawful: set[str] = set()
        self._losses: dict[tuple[Any, ...], float] = {}
        draft = Draft(entry("adamw").source, "AdamW at its defaults.")
        self._reference = Individual(1, draft, REFERENCE, (), 0)

    def examine(
        self, arm: str, ones: Sequence[Individual], *, laws: bool = True
    ) -> list[Answer]:
        """What the stages before the trainings say of each.

        Args:
            laws: they are tried on structures that are not known to keep them.
        """
        seconds = self.plan.trial_seconds
        jobs: list[tuple[Individual, Job]] = []
        for one in ones:
            source = one.draft.source
            tried = laws and structure(source) not in self._lawful
            job = {"source": source, "laws": tried, "seconds": seconds}
            jobs.append((one, {"do": "examine", **job}))
        stage = EXAMINED if laws else PARTS
        # All laws and the dry run keep within it together only where nothing hangs.
        answers = self._answers(arm, stage, jobs, 3 * seconds)
        for one, answer in zip(ones, answers, strict=True):
            if laws and "why" not in answer:
                self._lawful.add(structure(one.draft.source))
        return answers

    def train(
        self,
        arm: str,
        stage: str,
        ones: Sequence[tuple[Individual, Sequence[Training]]],
    ) -> list[tuple[Answer, Values]]:
        """What trainings of each gave, and its losses beside the reference's."""
        for _, trainings in ones:
            self._refer_to(stage, trainings)

        def values(place: int, answer: Answer) -> Values:
            return self._values(answer, ones[place][1])

        answers = self._train(arm, stage, ones, values)
        return [(answer, values(at, answer)) for at, answer in enumerate(answers)]

    def tell(self, arm: str, one: Standing) -> None:
        """Write down what stopped an individual where no job did."""
        if self._journal.known(arm, one.individual, one.stopped) is None:
            self._journal.keep(arm, one.individual, one.stopped, {"why": one.why})

    def price(self, source: str, answer: Answer) -> float:
        """What the cost of a source adds to its score."""
        prices = self.plan.prices
        cost = {"lines": lines_of(source), "steps": max(0.0, answer["steps"] - 1)}
        cost |= {name: answer[name] for name in ("seconds", "bytes")}
        return math.fsum(prices[name] * cost[name] for name in prices)

    def _train(
        self,
        arm: str,
        stage: str,
        ones: Sequence[tuple[Individual, Sequence[Training]]],
        values: Beside = _no_values,
    ) -> list[Answer]:
        execution = self.plan.execution
        jobs = []
        most = 1
        for one, trainings in ones:
            most = max(most, len(trainings))
            job = {"source": one.draft.source, "trainings": list(trainings)}
            jobs.append((one, {"do": "train", "execution": execution, **job}))
        seconds = most * self.plan.trial_seconds
        return self._answers(arm, stage, jobs, seconds, values)

    def _refer_to(self, stage: str, trainings: Sequence[Training]) -> None:
        left = [each for each in trainings if _key(each) not in self._losses]
        if not left:
            return
        told = f"{stage}, {len(self._losses)} before"
        [answer] = self._train(REFERENCE, told, [(self._reference, left)])
        if "why" in answer:
            raise BadArgument(
                f"AdamW at its defaults gives nothing to compare with: {answer['why']};"
                f" tasks that it trains were wanted; leave that one out."
            )
        for each, loss in zip(left, answer["losses"], strict=True):
            self._losses[_key(each)] = loss

    def _values(self, answer: Answer, trainings: Sequence[Training]) -> Values:
        pairs = zip(answer.get("losses", ()), trainings, strict=False)
        return tuple(_ratio(loss, self._losses[_key(each)]) for loss, each in pairs)

    def _answers(
        self,
        arm: str,
        stage: str,
        jobs: Sequence[tuple[Individual, Job]],
        seconds: float,
        values: Beside = _no_values,
    ) -> list[Answer]:
        answers = [self._journal.known(arm, one, stage) for one, _ in jobs]
        left = [at for at, answer in enumerate(answers) if answer is None]

        def done(place: int, answer: Answer) -> None:
            at = left[place]
            beside = list(values(at, answer))
            self._journal.keep(arm, jobs[at][0], stage, answer, values=beside)

        found = self._workers.map([(jobs[at][1], seconds) for at in left], done)
        for at, answer in zip(left, found, strict=True):
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
        trainings = _trainings(bench.plan.tasks, place)
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


def _trainings(tasks: Sequence[str], place: int) -> list[Training]:
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


def _key(training: Training) -> tuple[Any, ...]:
    return tuple(training.values())


def _ratio(loss: float, reference: float) -> float:
    return math.log(max(loss, 1e-12) / max(reference, 1e-12))
