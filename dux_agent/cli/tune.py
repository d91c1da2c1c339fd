"""`dux tune`: hyperparameters, tuned by a language model or a written rule."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from dux_agent.cli.given import refuse_beside_resume
from dux_agent.cli.one_line import one_line_errors
from dux_agent.cli.run import RunDir, free_run_dir
from dux_agent.errors import BadArgument

_Task = Annotated[
    str | None,
    typer.Argument(
        help="svm:digits, mlp:car, ...; toy:branin, ...; table:vehicle, ...; "
        "code:taxi, ...; an "
        "objective of yours as file.py:objective; or a training script as train.py.",
        show_default=False,
    ),
]
# What `dux_agent.tune` takes as it is given here.
_AS_GIVEN = (
    *("history", "reasoning", "direction", "noise", "control", "lm_first", "then"),
    *("lm_share", "workers", "max_attempts", "prompts", "lm_timeout", "seed"),
)
_Many = Annotated[list[str] | None, typer.Option(show_default="none")]


def tune(
    context: typer.Context,
    *,
    task: _Task = None,
    lm: Annotated[
        str, typer.Option(help="The language model, as dux run names it.")
    ] = "offline",
    budget: Annotated[
        int | None,
        typer.Option(
            help="Evaluations; defaults and failed ones count.",
            show_default="10; 5 with --code",
        ),
    ] = None,
    code: Annotated[
        bool,
        typer.Option(
            "--code",
            help="The model writes programs that train; TASK is code:taxi, ..., or "
            "file.py:build, which gives a dux_agent.CodeTask.",
        ),
    ] = False,
    execution: Annotated[
        str,
        typer.Option(
            metavar="[isolated|inline]",
            help="Where programs run: in the jail, or in this process with all rights.",
        ),
    ] = "isolated",
    history: Annotated[
        str,
        typer.Option(
            metavar="[compressed|chat]",
            help="A table of the trials in each prompt, or a growing conversation.",
        ),
    ] = "compressed",
    reasoning: Annotated[
        bool,
        typer.Option("--reasoning/--no-reasoning", help="Ask for a reason with each."),
    ] = True,
    space: Annotated[
        str,
        typer.Option(
            metavar="[given|free]",
            help="free: the model is told no ranges; only type and sign are checked.",
        ),
    ] = "given",
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=real(LOW, HIGH)",
            help="A hyperparameter: real(1e-5, 1, log=True), whole(1, 3) or "
            "one_of('a', 'b'); may be given again.",
            show_default="those of the objective",
        ),
    ] = None,
    direction: Annotated[
        str, typer.Option(metavar="[minimize|maximize]", help="Which value is better.")
    ] = "minimize",
    noise: Annotated[
        float,
        typer.Option(help="Show each value times a number of 1-NOISE to 1+NOISE."),
    ] = 0.0,
    defaults: Annotated[
        bool,
        typer.Option(
            "--defaults/--no-defaults",
            help="Evaluate the task's default settings first.",
        ),
    ] = False,
    control: Annotated[
        bool,
        typer.Option("--control", help="Random search from the same defaults beside."),
    ] = False,
    lm_first: Annotated[
        int | None,
        typer.Option(
            help="So many trials are the model's, then --then goes on.",
            show_default="a third of the budget, with --then",
        ),
    ] = None,
    then: Annotated[
        str | None,
        typer.Option(
            metavar="[tpe|gp|cmaes|random]",
            help="The optimizer that goes on.",
            show_default="nobody",
        ),
    ] = None,
    lm_share: Annotated[
        float | None,
        typer.Option(
            help="The optimizer proposes, and the model overrides this share of it.",
            show_default="none",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Evaluations at a time.")] = 1,
    trial_seconds: Annotated[
        float | None,
        typer.Option(
            help="An evaluation that takes longer has failed.",
            show_default="60 with --space free and --code",
        ),
    ] = None,
    trial_memory: Annotated[
        float | None,
        typer.Option(
            metavar="GIB",
            help="One that needs more memory has failed.",
            show_default="2 with --space free and --code",
        ),
    ] = None,
    max_attempts: Annotated[
        int, typer.Option(help="Replies that a trial may cost.")
    ] = 3,
    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="DIR|paper",
            help="Templates of your own, or prompts that hold what the paper's hold.",
            show_default="ours",
        ),
    ] = None,
    fallback: _Many = None,
    lm_option: _Many = None,
    lm_timeout: Annotated[
        float, typer.Option(help="Seconds until the first token of a reply.")
    ] = 600.0,
    seed: Annotated[int, typer.Option(help="Of draws, noise, optimizer, model.")] = 0,
    run_dir: RunDir = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Go on with the study in this folder; an objective of yours is named "
            "again.",
        ),
    ] = None,
) -> None:
    """Tune hyperparameters: propose, check, evaluate, and show the model what came.

    Exit code 0: the whole budget was evaluated; 1: the model could not be had, and the
    study waits for --resume; 2: an argument cannot be meant.
    """
    with one_line_errors():
        if resume is not None:
            refuse_beside_resume(
                context, ("task", "execution", "fallback", "lm_option")
            )
        from dux_agent import arguments
        from dux_agent.runs.written import model_options
        from dux_agent.terminal.study_text import print_study, trial_line
        from dux_agent.tuning.plan import bytes_of
        from dux_agent.tuning.study import Study, Trial

        arguments.check_seconds("--lm-timeout", lm_timeout)
        shown = Console(stderr=True)
        models = {"lm_options": model_options(lm_option), "fallback": fallback or None}

        def on_trial(trial: Trial, study: Study) -> None:
            shown.print(trial_line(trial, study), markup=False, highlight=False)

        if resume is not None:
            study = _gone_on(resume, task, execution, on_trial, models)
        else:
            free, code = _is_free(space), code or (task or "").startswith("code:")
            seconds, most = (60.0, 2.0) if free or code else (None, None)
            study = _new(
                task,
                param or (),
                models,
                where={"code": code, "execution": execution},
                use_defaults=defaults,
                lm=None if lm == "none" else lm,
                run_dir=run_dir,
                on_trial=on_trial,
                free=free,
                budget=(5 if code else 10) if budget is None else budget,
                trial_seconds=seconds if trial_seconds is None else trial_seconds,
                trial_bytes=bytes_of(most if trial_memory is None else trial_memory),
                **{name: context.params[name] for name in _AS_GIVEN},
            )
        print_study(Console(), study)
        if not study.complete:
            typer.echo(f"dux: go on with dux tune --resume {study.run_dir}", err=True)
            raise typer.Exit(1)


def _is_free(space: str) -> bool:
    if space not in ("given", "free"):
        raise BadArgument(
            f"--space is {space!r}; given or free was wanted; pick one of them."
        )
    return space == "free"


def _defaults(found: Any, space: Any) -> Any:
    """Of the task, or else of its space."""
    given = found.defaults or [each for each in (space.default,) if each]
    if not given:
        raise BadArgument(
            f"--defaults was given and {found.name} has none; a default for each "
            f"hyperparameter was wanted; write real(1e-5, 1, default=1e-3), or leave "
            f"it out."
        )
    return given


def _new(
    task: str | None,
    params: Any,
    models: dict[str, Any],
    *,
    where: dict[str, Any],
    use_defaults: bool,
    run_dir: Path | None,
    **options: Any,
) -> Any:
    from dux_agent.tuning.objectives import find
    from dux_agent.tuning.tune import tune as run_study

    if task is None:
        raise BadArgument(
            "no task was named; one such as svm:digits, file.py:objective or train.py "
            "was wanted; run for instance dux tune svm:digits."
        )
    found = find(task, params, **where)
    space = found.require_space()
    return run_study(
        found.objective,
        space,
        **models,
        run_dir=run_dir or free_run_dir(task.replace(":", "-"), options["seed"]),
        name=found.name,
        task=found.task,
        defaults=_defaults(found, space) if use_defaults else (),
        **options,
    )


def _gone_on(
    folder: Path,
    task: str | None,
    execution: str,
    on_trial: Any,
    models: dict[str, Any],
) -> Any:
    from dux_agent.tuning.replaying import objective_of
    from dux_agent.tuning.tune import resume

    objective = objective_of(folder, task, execution)
    return resume(folder, objective, on_trial=on_trial, **models)
