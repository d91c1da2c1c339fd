"""Scores a source as the search does, for other tools that evolve programs.

OpenEvolve, ShinkaEvolve and gepa each ask for an evaluator in a form of their own; one
object has all of them. None of these packages is imported or needed here.
"""

from __future__ import annotations

import json
import math
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.evolving.plan import PRICES, require_trainings, unmeant
from dux_agent.evolving.scoring import cost_of, log_ratio, price_of
from dux_agent.evolving.training import examine, train
from dux_agent.tasks.named import builder_of
from dux_sandbox.zoo import entry

FAILED = -100.0
"""The score of a source that did not come to the end: finite, and below any other."""

# Tasks draw from torch's own generator, and some tools evaluate in several threads.
_ONE_AT_A_TIME = threading.Lock()


@dataclass
class Evaluator:
    """A function `(source) -> (score, information)`; see `evaluator`.

    The score is 0 for AdamW at its defaults, and higher for what is better: 0.1 is a
    loss that is 10 % lower. Information is plain data: for a source that failed the
    stage and why, as a language model can read it; else the loss on each task beside
    AdamW's, and what the rule costs.
    """

    tasks: tuple[str, ...]
    seeds: int
    share: float
    prices: Mapping[str, float]
    laws: bool
    trial_seconds: float
    execution: str
    _reference: list[float] = field(default_factory=list, repr=False)

    def __call__(
        self, candidate: str | Mapping[str, str], example: Any = None, **more: Any
    ) -> tuple[float, dict[str, Any]]:
        """The score of a source and what is known of it, as gepa's evaluators give it.

        Args:
            candidate: the source, or a dict that holds it alone.
            example: of a data set; nothing depends on it.
            more: what else a tool passes by name; nothing depends on it.

        Raises:
            BadArgument: it is no source, or AdamW cannot be trained on the tasks.
        """
        with _ONE_AT_A_TIME:
            return self._scored(_source_in(candidate))

    def _scored(self, source: str) -> tuple[float, dict[str, Any]]:
        examined = examine(source, laws=self.laws, seconds=self.trial_seconds)
        if "why" in examined:
            return self._failed(examined["stage"], examined["why"])
        if not self._reference:
            self._reference = self._losses_of_adamw()
        answer = self._train(source)
        if "why" in answer:
            return self._failed("training", answer["why"])
        pairs = zip(answer["losses"], self._reference, strict=True)
        ratios = [log_ratio(loss, usual) for loss, usual in pairs]
        cost = cost_of(source, answer)
        price = price_of(cost, self.prices)
        score = -(math.fsum(ratios) / len(ratios) + price)
        return score, {
            "score": score,
            "stage": "trained",
            "losses": self._by_task(answer["losses"]),
            "losses of AdamW": self._by_task(self._reference),
            "cost": cost,
            "price": price,
        }

    def of_file(self, program_path: str | Path) -> Any:
        """What OpenEvolve's `evaluate(program_path)` has to return.

        An `EvaluationResult` where that package is loaded: its artifacts, the
        information, go into the next prompt. Else the dict of metrics.
        """
        score, told = self(_read(program_path))
        metrics = {"combined_score": score, "passed": float(score > FAILED)}
        result = _loaded("openevolve.evaluation_result", "EvaluationResult")
        if result is None:
            return metrics
        artifacts = {name: _text(value) for name, value in told.items()}
        return result(metrics=metrics, artifacts=artifacts)

    def into_folder(
        self, program_path: str | Path, results_dir: str | Path
    ) -> tuple[float, dict[str, Any]]:
        """Write what ShinkaEvolve reads: metrics.json and correct.json.

        Returns:
            As a call does.
        """
        score, told = self(_read(program_path))
        passed = score > FAILED
        metrics = {
            "combined_score": score,
            "public": {name: value for name, value in told.items() if name != "why"},
            "private": {},
            "text_feedback": "" if passed else _text(told["why"]),
        }
        correct = {"correct": passed, "error": None if passed else told["why"]}
        folder = Path(results_dir)
        folder.mkdir(parents=True, exist_ok=True)
        for name, held in (("metrics", metrics), ("correct", correct)):
            text = json.dumps(held, indent=2)
            (folder / f"{name}.json").write_text(text, encoding="utf-8")
        return score, told

    def _failed(self, stage: str, why: str) -> tuple[float, dict[str, Any]]:
        return FAILED, {"score": FAILED, "stage": stage, "why": why}

    def _train(self, source: str) -> dict[str, Any]:
        trainings = [
            {"task": task, "seed": seed, "share": self.share, "split": "val"}
            for seed in range(self.seeds)
            for task in self.tasks
        ]
        seconds = self.trial_seconds
        return train(source, trainings, execution=self.execution, seconds=seconds)

    def _losses_of_adamw(self) -> list[float]:
        answer = self._train(entry("adamw").source)
        if "why" in answer:
            raise BadArgument(
                f"AdamW at its defaults gives nothing to compare with: {answer['why']};"
                f" tasks that it trains were wanted; leave that one out."
            )
        losses: list[float] = answer["losses"]
        return losses

    def _by_task(self, losses: Sequence[float]) -> dict[str, float]:
        """Means over the seeds."""
        count = len(self.tasks)
        return {
            task: math.fsum(losses[at::count]) / self.seeds
            for at, task in enumerate(self.tasks)
        }


def evaluator(
    tasks: Sequence[str] | str,
    *,
    seeds: int = 1,
    share: float = 1.0,
    prices: Mapping[str, float] | None = None,
    laws: bool = True,
    trial_seconds: float = 60.0,
    execution: str = "isolated",
) -> Evaluator:
    """An evaluator of optimizer sources over tasks, for OpenEvolve, Shinka and gepa.

    A source goes through the stages of `dux evolve`: static check, laws, fifty steps on
    fixed problems in the jail, then a training on each task and seed.

    Args:
        tasks: names as `dux run` takes them.
        seeds: on each task.
        share: of its steps.
        prices: see `dux_agent.evolving.plan.PRICES`; others stay as they are there.
        laws: the laws of an optimizer are tried; they take some seconds.
        trial_seconds: that one training, or one law, may take.
        execution: where trainings run the source: "isolated" in a jailed process, or
            "inline" in this one.

    Raises:
        BadArgument: there is no such task, or an argument cannot be meant.
    """
    named = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    if not named:
        raise BadArgument("tasks is empty; a task at least was wanted; name one.")
    for task in named:
        builder_of(task)
    if type(seeds) is not int or seeds < 1:
        raise unmeant("seeds", seeds, "a whole number of at least 1")
    if not 0 < share <= 1:
        raise unmeant("share", share, "a number above 0, at most 1")
    given = {**PRICES, **(prices or {})}
    require_trainings(trial_seconds, execution, given)
    return Evaluator(named, seeds, share, given, laws, trial_seconds, execution)


def _source_in(candidate: Any) -> str:
    if isinstance(candidate, Mapping) and len(candidate) == 1:
        [candidate] = candidate.values()
    if not isinstance(candidate, str):
        raise BadArgument(
            f"the candidate is a {type(candidate).__name__}; the source of an optimizer"
            f" was wanted, a str, or a dict that holds it alone; pass that."
        )
    return candidate


def _read(path: str | Path) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _loaded(module: str, name: str) -> Any:
    """A name of a module that somebody else has imported; None: nobody has."""
    return getattr(sys.modules.get(module), name, None)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
