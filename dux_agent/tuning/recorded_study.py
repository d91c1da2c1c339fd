"""A study as its run folder says it."""

from pathlib import Path
from typing import Any

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.tuning.plan import StudyPlan
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.values import SpaceError

KIND = "tune"
"""What the `run.json` of a study says beside what it was."""


def is_study(path: str | Path) -> bool:
    """Whether a run folder is a study's.

    Raises:
        RunFolderUnusable: it is no run folder.
    """
    return bool(read_facts(path).get("kind") == KIND)


def recorded_study(run_dir: str | Path) -> tuple[Space, dict[str, Any], str]:
    """Its space, its options and the name of its model.

    Raises:
        RunFolderUnusable: it is no study.
    """
    path = Path(run_dir).expanduser().absolute()
    facts = read_facts(path)
    try:
        if facts["kind"] != KIND:
            raise ValueError(f"it records a {facts['kind']!r}")
        space = Space.from_dict(facts["space"])
        plan = StudyPlan.of(facts["arguments"])
        model = str(facts["model"])
    except KeyError as error:
        raise _no_study(path, f"its run.json lacks {error}") from None
    except (TypeError, ValueError, AttributeError, SpaceError) as error:
        raise _no_study(path, str(error)) from None
    return space, plan.facts(), model


def _no_study(path: Path, why: str) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"{path} is no run folder of a study: {why}; one that `dux tune` printed was "
        f"wanted; name it."
    )
