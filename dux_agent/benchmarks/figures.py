"""`dux bench figures --lm NAME`: the paper's figures 3 to 5 on two small image tasks.

What a model does where it is told no ranges, where its prompt says little, and where
the values that it is shown are noisy; each beside the same study without that, and
beside random search from the default settings. The trajectories stand on each page.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dux_agent.benchmarks.kept_rows import name_of_file
from dux_agent.benchmarks.scripted_model import ScriptedModel
from dux_agent.errors import DuxError
from dux_agent.report.page import write_report
from dux_agent.tuning.reading import read_study
from dux_agent.tuning.tune import resume, tune
from dux_agent.tuning_tasks.images import NETWORKS, ImageTask
from dux_prompts.tuning.space import Space

Say = Callable[[str], None]

_TRIAL_SECONDS = 600.0  # of an evaluation in a space without ends; usual are three

ARMS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "given": {"control": True},
        "free": {"free": True, "trial_seconds": _TRIAL_SECONDS},
        "short": {"task": ImageTask(NETWORKS[0]).short_task},
        "paper": {"prompts": "paper"},
        "noise": {"noise": 0.1},
    }
)
"""What a study has otherwise than the one named "given"."""

FIGURES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "space": ("given", "free"),
        "prompt": ("given", "short", "paper"),
        "noise": ("given", "noise"),
    }
)
"""The name of a page -> the arms that stand on it."""


def draw_figures(
    lm: str,
    folder: Path,
    *,
    budget: int = 10,
    seeds: int = 1,
    networks: tuple[str, ...] = NETWORKS,
    say: Say = lambda line: None,
) -> Iterator[Path]:
    """Run every arm on every network, and write a page for each figure.

    A study that is there is not run again; one that died is gone on with.

    Args:
        lm: who is asked: a model's name, "offline", or "scripted", which stands in for
            a model and is named so.
        folder: for the studies and the pages.
        budget: evaluations of each study.
        seeds: how many studies of each arm.
        networks: of `NETWORKS`.
        say: is told of each study as it is over.

    Returns:
        The pages, as they are written.

    Raises:
        DuxError: the model cannot be had, or the data.
    """
    studies: dict[str, list[Path]] = {}
    for arm, options in ARMS.items():
        for network in networks:
            for seed in range(seeds):
                place = folder / name_of_file(f"{network}-{lm}-{arm}-{budget}-{seed}")
                _run(ImageTask(network), lm, place, budget, seed, options)
                studies.setdefault(arm, []).append(place)
                say(place.name)
    for name, arms in FIGURES.items():
        shown = [place for arm in arms for place in studies[arm]]
        yield write_report(shown, output=folder / f"{name}.html")


def _run(
    task: ImageTask,
    lm: str,
    place: Path,
    budget: int,
    seed: int,
    options: Mapping[str, Any],
) -> None:
    asked: Any = lm
    if lm == "scripted":
        asked = ScriptedModel(space=Space(task.space), seed=seed)
    if (place / "run.json").is_file():
        told = read_study(place)
        beside = budget if told.plan.control else 0
        if told.study.complete and len(told.control) >= beside:
            return
        study = resume(place, task, lm=asked)
    else:
        study = tune(
            task,
            task.space,
            lm=asked,
            run_dir=place,
            name=f"image:{task.network}",
            budget=budget,
            seed=seed,
            **{"task": task.task, **options},
        )
    if not study.complete:
        raise DuxError(
            f"{lm} could not be asked: {study.reason}; one that answers was wanted; "
            f"the same command goes on in {place}."
        )
