"""What a run of a task is asked to do: the table of its options, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dux_agent import tasks
from dux_agent.choices import choices
from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.runs import written
from dux_agent.runs.options import lines, option

if TYPE_CHECKING:
    from dux_agent.tasks.protocol import Task


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a run computes; its fields are the table of options.

    To add one, add its line. `option` is described in `dux_agent.runs.options`; where
    something beside `dux_agent.attach` is to get the value, whoever gives it the value
    reads it from the plan.

    Attributes:
        task: a name as `dux_agent.tasks.build` takes it.
    """

    task: str
    model: str = option(
        "offline",
        "The language model: offline (rule-based, none), openai:NAME, ollama:NAME, "
        "recorded:FILE or recorded:RUN_FOLDER, or any provider:name of LangChain.",
        called="lm",
    )
    fallback: list[str] | None = option(
        None,
        "A model that is asked where the one before it has failed; may be given again.",
        read=written.names,
        many=True,
        unset="none",
    )
    lm_weights: list[float] | None = option(
        None,
        "Of the models, in their order, as 3,1: each proposal is asked of one of them, "
        "more often of those that win for little.",
        read=written.weights,
        unset="the first is asked, the others where it has failed",
    )
    lm_options: dict[str, Any] | None = option(
        None,
        "Of the models, as temperature=0.7, or 2:temperature=0.7 of the second alone, "
        "or base_url=http://127.0.0.1:8000/v1 for a server of your own; may be given "
        "again.",
        read=written.model_options,
        many=True,
        called="lm_option",
        unset="none",
    )
    lm_timeout: float = option(
        600.0,
        "Seconds that a model may think before the first token of its reply.",
        read=written.seconds,
    )
    decision_timeout: float | None = option(
        None,
        "Seconds until a decision asks nobody any more.",
        read=written.seconds,
        unset="half an hour, or three times --lm-timeout if that is more",
    )
    task_description: str | None = option(
        None,
        "A few words on the task that the model is told.",
        attach="task",
        unset="no word",
    )
    epochs: int | None = option(
        None,
        "Epochs to train.",
        least=1,
        most=1_000_000,
        unset="the task's own: 5 of ours",
    )
    seed: int = option(
        0, "Of weights, batches, dropout and agent.", least=0, most=2**32 - 1
    )
    control: bool = option(
        False, "First train with the base optimizer only, from the same weights."
    )
    execution: str = option(
        "auto",
        "recorded: accepted rules run as verified programs; isolated: in a locked-down "
        "process; inline: in this one; auto: recorded where proven, else isolated.",
        choices=choices("execution"),
    )
    every: int | None = option(
        None,
        "Steps between decisions.",
        least=1,
        most=written.MANY,
        unset="one decision before every epoch but the first",
    )
    device: str | None = option(
        None,
        "Where the task is trained, such as cpu or cuda:0.",
        read=written.name_of_place,
        unset="the task's own",
    )
    dtype: str | None = option(
        None,
        "Of its weights: float32, float64, bfloat16 or float16.",
        read=written.name_of_place,
        unset="the task's own",
    )
    candidates: int = option(
        1, "Proposals a try; the best dry run goes on.", least=1, most=1000
    )
    max_attempts: int = option(3, "Tries that a decision may cost.", least=1, most=1000)
    dry_run_steps: int = option(
        10, "Steps of the dry run on a copy of the model.", least=1, most=100_000
    )
    decision_steps: int | None = option(
        None,
        "Steps that all dry runs of a decision may take together.",
        least=2,
        most=written.MANY,
        unset="what tries and candidates come to",
    )
    accept: str = option(
        "harmless", "What passes the dry run.", choices=choices("accept")
    )
    training_losses_only: bool = option(
        False, "Show the model no validation loss, as the paper does."
    )
    fuzz: bool = option(
        False, "Try the laws of an optimizer on each proposal before its dry run."
    )
    carry_over: str = option(
        "asked",
        "Whether a new rule gets the state of the one before that fits.",
        choices=choices("carry_over"),
    )
    history: str = option(
        "chat",
        "What the model sees of earlier decisions: the conversation, a table, or the "
        "best rules with their scores.",
        choices=choices("history"),
    )
    history_characters: int = option(
        60_000,
        "How much of the conversation it sees word for word.",
        least=0,
        most=written.MANY,
    )
    context_window: int | None = option(
        None,
        "Tokens that a prompt and its reply may have together.",
        least=1,
        most=written.MANY,
        unset="what LangChain's profile of the model says, if anything",
    )
    reasoning: str = option(
        "first",
        "Whether the model writes its reasons down before the code.",
        choices=choices("reasoning"),
    )
    vocabulary: str = option(
        "short",
        "How the model is told what a rule may use: in sentences, or name by name.",
        choices=choices("vocabulary"),
    )
    zoo: bool = option(
        False, "Quote optimizers of the literature that fit in each prompt."
    )
    guard_steps: int = option(
        100, "Steps after a swap with the dear checks.", least=0, most=written.MANY
    )
    snapshots: str = option(
        "device",
        "Where the guard keeps what it would put back.",
        choices=choices("snapshots"),
    )
    approve: bool = option(
        False,
        "Show what each proposal that passed changes, and ask before it goes live.",
    )
    keep_best: bool = option(
        False,
        "Keep the weights with the best validation loss, and say what they reach on "
        "the test split beside the last ones.",
    )
    background: bool = option(
        False,
        "Ask the model while training goes on: a rule goes live when it has answered.",
    )
    budget: dict[str, float] | None = option(
        None,
        "Calls of the model in all, or limits as calls=20,tokens=90000,money=0.50,"
        "seconds=600; money is in dollars.",
        read=written.limits,
        unset="no limit",
    )
    prices: dict[str, Any] | None = option(
        None,
        "A JSON file with prices of models, dollars per million tokens, as "
        '{"my-model": {"input": 0.5, "output": 1.5}}.',
        read=written.prices,
        unset="those that we know",
    )
    experience: str | None = option(
        None,
        "A library that dux learn made: the model is shown what came of proposals in "
        "the situations of it that are nearest.",
        read=written.file,
        unset="none",
    )
    threads: int = option(
        1,
        "Of torch. Sums that several share differ in their last bits from machine to "
        "machine.",
        least=1,
        most=1024,
    )

    def __post_init__(self) -> None:
        """Raise BadArgument for a value that its line does not take."""
        for name, line in OPTIONS.items():
            object.__setattr__(self, name, line.checked(getattr(self, name)))

    @classmethod
    def asked(cls, task: str | Plan, options: Mapping[str, Any]) -> Plan:
        """The plan of a new run, or a plan with some options otherwise.

        Raises:
            BadArgument: there is no such option, or it does not take this value.
        """
        for name in options:
            if name not in OPTIONS:
                raise BadArgument(
                    f"a run has no option {name!r}; any of {', '.join(OPTIONS)} was "
                    f"wanted; leave it out."
                )
        if isinstance(task, Plan):
            return replace(task, **options)
        return cls(task=tasks.in_full(str(task)), **options)

    def build(self) -> Task:
        """The task, built anew; raises as `dux_agent.tasks.build`."""
        return tasks.build(self.task, self.seed, device=self.device, dtype=self.dtype)

    def of_attach(self) -> dict[str, Any]:
        """The arguments of `dux_agent.attach` that it decides."""
        return {
            line.option.attach or name: getattr(self, name)
            for name, line in OPTIONS.items()
            if name not in _NOT_OF_ATTACH
        }

    def facts(self) -> dict[str, Any]:
        """It as `run.json` says it."""
        said = asdict(self)
        return {**{name: said.pop(name) for name in _FACTS}, "arguments": said}

    def running(self, execution: str | None) -> Plan:
        """The same with rules that run as the caller says, not as a folder does.

        Args:
            execution: None: as here, but never in this process where it can be helped.
        """
        if execution is None:
            execution = "auto" if self.execution == "inline" else self.execution
        return replace(self, execution=execution)

    @classmethod
    def of(cls, folder: Path, facts: Mapping[str, Any]) -> Plan:
        """What the `run.json` of `folder` says; an older one says less.

        Raises:
            RunFolderUnusable: it was not made by `dux run`, or somebody changed it.
        """
        arguments = facts.get("arguments")
        task = facts.get("task")
        if not isinstance(arguments, dict) or not isinstance(task, str):
            raise _foreign(folder, "no task of dux run")
        if arguments.get("epochs") is None:
            raise _foreign(folder, "no number of epochs")
        said = {**arguments, **{name: facts.get(name) for name in _FACTS}}
        found: dict[str, Any] = {"task": task}
        for name, line in OPTIONS.items():
            if name in said:
                try:
                    found[name] = line.checked(said[name])
                except BadArgument as error:
                    raise _foreign(folder, str(error).partition(";")[0]) from None
        return cls(**found)


OPTIONS = lines(Plan)
# What a run takes care of itself; every other option is an argument of `attach`.
_NOT_OF_ATTACH = {
    *("model", "fallback", "lm_weights", "lm_options", "epochs", "control"),
    *("device", "dtype", "approve", "threads", "training_losses_only"),
}

# What `run.json` says of every run, whoever made it; the rest are its arguments.
_FACTS = ("task", "seed", "model")


def _foreign(folder: Path, found: str) -> RunFolderUnusable:
    return RunFolderUnusable(
        f"{folder} is no run of `dux run`: its run.json has {found}; a folder that "
        f"`dux run` made was wanted; a run of your own loop goes on by "
        f"agent.load_state_dict()."
    )
