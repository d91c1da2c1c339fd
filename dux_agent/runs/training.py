"""The training that `dux run`, the demo and the benchmarks share.

The first epoch runs on the base optimizer, then the agent is asked once before each
later epoch, as in the paper: four decisions in five epochs. The agent sees training
losses and the validation split; the test split is measured for people alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dux_agent import arguments
from dux_agent.errors import BadArgument
from dux_agent.run_folder import run_checkpoint
from dux_agent.run_folder.folder import RunFolder, require_store
from dux_agent.run_folder.recorder import name_of
from dux_agent.runs.plan import Plan
from dux_agent.runs.progress import Change, Epoch, Progress, ProgressReporter, Result
from dux_agent.runs.recorded_plan import check_models, planned, with_library
from dux_agent.runs.run_loop import RunLoop
from dux_agent.runs.vouched import vouch
from dux_agent.tasks.protocol import check_task

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from torch import nn

    from dux_agent.agent import Agent
    from dux_agent.deciding.pace import Pace
    from dux_agent.tasks.protocol import Task
    from dux_graphs.approval import Approve
    from dux_graphs.language_model import LanguageModel

    Model = str | BaseChatModel | LanguageModel
    Models = Model | Sequence[Model] | Mapping[Model, float]

__all__ = ["Change", "Epoch", "Progress", "Result", "resume", "torch_threads", "train"]


def train(
    task: str | Plan,
    *,
    lm: Models | None = None,
    run_dir: str | Path | None = None,
    on_event: Callable[[Progress], None] | None = None,
    person: Approve | None = None,
    pace: Pace | None = None,
    **options: Any,
) -> Result:
    """Train a task with an agent, and return every figure of it.

    Args:
        task: a name as `dux_agent.tasks.build` takes it, or a whole plan.
        lm: the language model, or several, as `dux_agent.attach` takes them; "offline"
            when left out.
        run_dir: the run folder to make, or None for none.
        on_event: called with a `Progress` after every step, epoch and trace event.
        person: asked about each proposal with `approve=True`, as `dux_agent.attach`
            takes it.
        pace: of a recorded run, whose background decisions are to come at its steps.
        options: those of `dux run`, by the names of the fields of
            `dux_agent.runs.plan.Plan`: epochs=2, seed=1, control=True.

    The same arguments on the same machine give the same losses to the last bit.

    Raises:
        DuxError: an argument cannot be meant, or data, model, folder cannot be had.
            Nothing has been written then.
        KeyboardInterrupt: handed on after the run folder was closed.
    """
    began = time.monotonic()
    # A replay answers for the model of its plan, and is none of another name.
    if lm is not None and not isinstance(task, Plan):
        options = {**_named(lm), **options}
    plan = Plan.asked(task, options)
    with ExitStack() as stack:
        stack.enter_context(torch_threads(plan.threads))
        built, plan, watch = _built(plan, on_event)
        asked = _asked(plan, lm)
        folder: RunFolder | None = None
        if run_dir is not None:
            require_store()
            folder = stack.enter_context(RunFolder.create(run_dir, plan.facts()))
            folder.subscribe(watch.hear)
        try:
            agent = _attach(built, plan, watch, folder, asked, person)
        except BaseException:
            # The folder was made a moment ago and holds nothing of a run yet.
            if folder is not None:
                folder.discard()
            raise
        stack.enter_context(agent)
        agent.keep_pace(pace)
        watch.tell("plan", cost=agent.plan())
        return RunLoop(plan, built, agent, folder, watch, began).run()


def resume(
    run_dir: str | Path,
    *,
    lm: Models | None = None,
    execution: str | None = None,
    task: str | None = None,
    lm_options: Mapping[str, Any] | Sequence[str] | None = None,
    on_event: Callable[[Progress], None] | None = None,
    person: Approve | None = None,
) -> Result:
    """Go on with a run that died, from its last checkpoint, and return its figures.

    The figures are those of a run that did not die, to the last bit on the same
    machine; replies that stand in the trace are not asked for again. Of a run that is
    over only the figures are returned.

    Args:
        run_dir: its run folder.
        lm: the language model, where the run was given one without a name.
        execution: how accepted rules run. None: as they did, but that a folder alone
            has no rule run in this process where it can run in its own: "inline" is
            said by whoever trusts the folder. The figures are the same.
        task: its task, said again; needed for one as "package.module:build" that was
            never named on this machine, since a folder alone has nothing imported.
        lm_options: those of its models, said again; needed where they are more than
            numbers, such as an address, and were never given on this machine, since a
            folder alone has no key sent anywhere.
        on_event: as for `train`; the first steps it hears of are those that the run had
            taken after its last checkpoint.
        person: as for `train`.

    Raises:
        DuxError: there is no run in `run_dir`, it is still going on, or it cannot be
            gone on with. Nothing has been changed then.
    """
    began = time.monotonic()
    path = Path(run_dir).expanduser().absolute()
    plan = planned(path, execution=execution, task=task)
    check_models(plan, path, lm_options)
    plan = with_library(plan, path)
    with ExitStack() as stack:
        stack.enter_context(torch_threads(plan.threads))
        built, plan, watch = _built(plan, on_event)
        asked = _asked(plan, lm)
        folder = stack.enter_context(RunFolder.open(path))
        if (path / "decisions.sqlite").exists():
            folder.checkpointer()  # a damaged one is said now, not at a decision
        # After it was opened, and locked: a run that goes on writes a newer one.
        saved = run_checkpoint.load(path)
        folder.go_on_from(0 if saved is None else saved["trace"])
        folder.subscribe(watch.hear)
        agent = stack.enter_context(_attach(built, plan, watch, folder, asked, person))
        courses = RunLoop(plan, built, agent, folder, watch, began)
        if saved is not None:
            courses.go_on(saved, path)
        watch.tell("plan", cost=agent.plan())
        return courses.run()


def _built(
    plan: Plan, on_event: Callable[[Progress], None] | None
) -> tuple[Task, Plan, ProgressReporter]:
    """The task of a plan, the plan with its number of epochs, and who listens."""
    built = check_task(plan.build(), plan.task)
    vouch(plan)
    epochs = plan.epochs or built.epochs
    watch = ProgressReporter(on_event, epochs, built.steps_per_epoch)
    return built, replace(plan, epochs=epochs), watch


def _named(lm: Models) -> dict[str, Any]:
    """What a plan says of the models: names, or those of their classes."""
    first, *others = [name_of(each) for each in arguments.listed(lm)] or ["none"]
    weights = arguments.read_weights(lm)
    return {
        "model": first,
        **({"fallback": others} if others else {}),
        **({"lm_weights": weights} if weights else {}),
    }


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let torch use that many threads in here, and as many as before afterwards."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _asked(plan: Plan, lm: Models | None) -> tuple[LanguageModel, ...]:
    """The models themselves, before anything is written: a wrong name leaves no trace.

    Args:
        lm: them, where the plan has nothing but their names.
    """
    named = [plan.model, *(plan.fallback or ())] if lm is None else lm
    return (
        arguments.language_models(
            named,
            None,
            seed=plan.seed,
            options=plan.lm_options,
            timeout=plan.lm_timeout,
        )
        or ()
    )


def _weighted(asked: tuple[LanguageModel, ...], plan: Plan) -> Any:
    weights = plan.lm_weights
    if weights is None:
        return asked
    if len(weights) != len(asked):
        raise BadArgument(
            f"lm_weights holds {len(weights)} numbers for {len(asked)} models; one for "
            f"each was wanted; name each model, the later ones by --fallback."
        )
    return dict(zip(asked, weights, strict=True))


def _attach(
    built: Task,
    plan: Plan,
    watch: ProgressReporter,
    folder: RunFolder | None,
    asked: tuple[LanguageModel, ...],
    person: Approve | None,
) -> Agent:
    from dux_agent.attaching import attach

    def validate(model: nn.Module) -> float:
        return built.evaluate("val", model)

    if plan.approve and person is None:
        raise BadArgument(
            "approve is True and nobody is there to be asked; a callable was wanted; "
            "pass person=..., or dux run --approve to be asked at the terminal."
        )
    return attach(
        built.model,
        built.base_optimizer(),
        built.objective,
        lm=_weighted(asked, plan),
        total_steps=watch.epochs * watch.steps,
        validate=None if plan.training_losses_only else validate,
        loss_name=built.loss_name,
        steps_per_epoch=built.steps_per_epoch,
        run_dir=folder,
        approve=cast(Any, person) if plan.approve else None,
        **plan.of_attach(),
    )
