"""A whole study: every trial asked for, evaluated, told and recorded."""

import json
import random
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.run_folder.atomic import write_atomically
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.recorder import Recorder, name_of
from dux_agent.run_folder.trace import plain
from dux_agent.tuning.evaluating import Evaluation, Objective, Outcome, begun
from dux_agent.tuning.judging import StudyPaused, plan_of, space_of
from dux_agent.tuning.programs import export_program
from dux_agent.tuning.recorded_study import KIND, recorded_study
from dux_agent.tuning.study import DONE, FAILED, Study, Trial
from dux_agent.tuning.tuner import Tuner
from dux_prompts.tuning.program import program_in
from dux_prompts.tuning.space import Config

OnTrial = Callable[[Trial, Study], None]


def tune(
    objective: Objective,
    space: Mapping[str, Any] | None = None,
    *,
    lm: Any = "offline",
    fallback: Any = None,
    lm_options: Any = None,
    lm_budget: int | Mapping[str, float] | None = None,
    run_dir: str | Path | None = None,
    on_trial: OnTrial | None = None,
    name: str = "",
    retry: Any = None,
    **options: Any,
) -> Study:
    """Tune the hyperparameters of an objective.

    Args:
        objective: a configuration (a dict) to a number, lower is better, or to
            `{"value", "report"}`, whose report is kept and never shown. What it raises
            costs an evaluation.
        space: name -> `dux_agent.real`, `whole` or `one_of`; or a function that asks
            `trial.suggest_float(...)` and its like as Optuna's objectives do; None:
            `objective.space`.
        lm, fallback, lm_options, lm_budget, retry: as of `dux_agent.Tuner`.
        run_dir: the run folder to make; None: none.
        on_trial: called after each trial, of the study so far.
        name: what a resume and a replay find the objective by.
        options: budget=10, task="...", history="chat", then="tpe", seed=1, ...: those
            of `dux_agent.tuning.plan.StudyPlan`, which says what each does.

    Returns:
        The study; where the language model could not be had it is not `complete`, and
        its folder can be gone on with.

    Raises:
        DuxError: an argument cannot be meant, or the folder cannot be made.

    >>> import dux_agent
    >>> space = {"x": dux_agent.real(-1, 1)}
    >>> dux_agent.tune(lambda config: config["x"] ** 2, space, budget=3).best.value
    0.0
    """
    _check(objective, on_trial, run_dir)
    if space is None:
        space = getattr(objective, "space", None)
    held = space_of(space)
    plan = plan_of(lm, options)
    if plan.budget is None:
        raise BadArgument(
            "budget is None; a number of evaluations was wanted; pass budget=10."
        )
    models = {"lm": lm, "fallback": fallback, "lm_options": lm_options}
    with ExitStack() as stack:
        folder = None
        tuner = Tuner(held, **models, lm_budget=lm_budget, retry=retry, **options)
        if run_dir is not None:
            facts = {
                "kind": KIND,
                "task": name,
                "seed": plan.seed,
                "model": name_of(lm),
                "space": held.as_dict(),
                "arguments": plan.facts(),
            }
            folder = stack.enter_context(RunFolder.create(run_dir, facts))
            tuner = Tuner(
                held,
                **models,
                lm_budget=lm_budget,
                retry=retry,
                folder=folder,
                **options,
            )
        return run_study(tuner, objective, folder, on_trial)


def _check(objective: Any, on_trial: Any, run_dir: Any) -> None:
    """Raise BadArgument for what is no function, or no path."""
    for name, given, does in (
        ("objective", objective, "takes a configuration, a dict, and gives a number"),
        ("on_trial", on_trial, "takes a trial and the study"),
    ):
        if not callable(given) and not (name == "on_trial" and given is None):
            raise BadArgument(
                f"{name} is a {type(given).__name__}; a function that {does} was "
                f"wanted; pass one."
            )
    if not isinstance(run_dir, str | PathLike | None) or run_dir == "":
        raise BadArgument(
            f"run_dir is {run_dir!r}; the path of a folder to make was wanted; pass "
            f"one, or leave it out."
        )


def run_study(
    tuner: Tuner,
    objective: Objective,
    folder: RunFolder | None,
    on_trial: OnTrial | None = None,
) -> Study:
    """Every trial of a study; those that its folder holds are not evaluated again."""
    plan, began = tuner.plan, time.monotonic()
    assert plan.budget is not None
    evaluations = _Evaluations(tuner, objective, folder)
    reason = ""
    with ThreadPoolExecutor(max_workers=plan.workers) as pool:
        try:
            while len(tuner.study) < plan.budget:
                left = plan.budget - len(tuner.study)
                for trial in evaluations.batch(pool, min(plan.workers, left)):
                    if on_trial is not None:
                        on_trial(trial, tuner.study)
        except StudyPaused as error:
            reason = str(error)
    control = evaluations.control() if plan.control and not reason else ()
    study = replace(
        tuner.study,
        control=control,
        complete=not reason,
        reason=reason,
        run_dir=None if folder is None else folder.path,
        seconds=time.monotonic() - began,
    )
    if folder is not None and study.best is not None:
        text = json.dumps(plain(study.best.as_dict()), indent=2) + "\n"
        write_atomically(folder.path / "best.json", text.encode("ascii"))
        source = program_in(study.best.config)
        if source is not None:
            name = str(folder.facts.get("task"))
            whole = export_program(study.best, name, source)
            write_atomically(folder.path / "best.py", whole.encode("utf-8"))
    return study


class _Evaluations:
    """Evaluates, or reads what was evaluated before the study died."""

    def __init__(
        self, tuner: Tuner, objective: Objective, folder: RunFolder | None
    ) -> None:
        self._tuner, self._objective, self._folder = tuner, objective, folder
        self._recorder = Recorder(folder, owned=False)

    def batch(self, pool: ThreadPoolExecutor, size: int) -> list[Trial]:
        """So many trials; several are evaluated at a time."""
        if size == 1:
            return [self._tuner.run(self.outcome)]
        asked: list[tuple[int, Config]] = []
        paused: StudyPaused | None = None
        for _ in range(size):
            try:
                config = self._tuner.ask()
            except StudyPaused as error:
                paused = error  # what was asked for before is evaluated all the same
                break
            asked.append((self._tuner.number, config))
        with ExitStack() as undo:
            evaluations = []
            for each in asked:
                evaluations.append(self._begun(*each))
                undo.callback(evaluations[-1].end)
            # Ctrl-C reaches no child, and the pool waits for all that was begun.
            outcomes = list(pool.map(lambda each: each.outcome(), evaluations))
            undo.pop_all()
        told = [
            self._tuner.told(config, outcome)
            for (_, config), outcome in zip(asked, outcomes, strict=True)
        ]
        if paused is not None:
            raise paused
        return told

    def outcome(self, number: int | None, config: Config) -> Outcome:
        """What a configuration gives."""
        return self._begun(number, config).outcome()

    def _begun(self, number: int | None, config: Config) -> Evaluation:
        known = None if self._folder is None else self._known(number, config)
        if known is not None:
            return _Known(known)
        plan = self._tuner.plan
        return begun(
            self._objective,
            config,
            seconds=plan.trial_seconds,
            most_bytes=plan.trial_bytes,
            apart=plan.workers > 1,
        )

    def control(self) -> tuple[Trial, ...]:
        """Random search beside it, from the same defaults."""
        plan, space = self._tuner.plan, self._tuner.space
        rng = random.Random(f"{plan.seed}:control")
        first = [space.default] if space.default else []
        configs = [*first, *map(space.typed, plan.defaults)][: plan.budget]
        named = len(configs)
        while len(configs) < (plan.budget or 0):
            configs.append(space.draw(rng))
        trials = []
        for number, config in enumerate(configs, 1):
            outcome = self.outcome(None, config)
            trial = Trial(
                number,
                config,
                value=outcome.value,
                measured=outcome.value,
                report=outcome.report,
                state=FAILED if outcome.value is None else DONE,
                by="default" if number <= named else "random",
                error=outcome.error,
                seconds=outcome.seconds,
            )
            data = {"scope": "control", **trial.as_dict()}
            self._recorder.event("trial", step=number, decision=None, data=data)
            trials.append(trial)
        return tuple(trials)

    def _known(self, number: int | None, config: Config) -> Outcome | None:
        assert self._folder is not None
        for event in self._folder.known(number, "trial"):
            data = event.data
            if data.get("config") == plain(config):
                measured = data.get("measured")
                value = None if measured is None else float(measured)
                error = str(data.get("error") or "")
                seconds = float(data.get("seconds") or 0.0)
                return Outcome(value, data.get("report"), error, seconds)
        return None


@dataclass(frozen=True)
class _Known:
    """What was evaluated before."""

    known: Outcome

    def outcome(self) -> Outcome:
        return self.known

    def end(self) -> None:
        """It has ended."""


def resume(
    run_dir: str | Path,
    objective: Objective,
    *,
    lm: Any = None,
    on_trial: OnTrial | None = None,
    **models: Any,
) -> Study:
    """Go on with a study that died or paused; no reply in its trace is paid again.

    Args:
        run_dir: its run folder.
        objective: the same as before.
        lm: the language model, where the study was given one without a name.
        on_trial: as of `tune`; it hears of the first trials again.
        models: `fallback`, `lm_options`, `lm_budget` and `retry`, said again.

    Raises:
        DuxError: it is no study, or another process goes on with it.
    """
    space, options, model = recorded_study(run_dir)
    with RunFolder.open(run_dir) as folder:
        named = None if model == "none" else model
        asked = named if lm is None else lm
        tuner = Tuner(space, lm=asked, folder=folder, **models, **options)
        return run_study(tuner, objective, folder, on_trial)
