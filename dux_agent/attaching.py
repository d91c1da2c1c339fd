"""`attach`: the one call that puts an agent behind a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from dux_agent import arguments
from dux_agent.agent import Agent
from dux_agent.attached import remember, take_over
from dux_agent.choices import chosen_execution, same_execution
from dux_agent.deciding.building import Builder
from dux_agent.deciding.searching import searching_of
from dux_agent.decisions import budget_of
from dux_agent.live.schedulers import schedulers_given
from dux_agent.refusals import (
    check_copied,
    check_devices,
    check_kinds,
    check_ranks,
    warn_of_iterators,
    warn_of_recurrent_dropout,
)
from dux_agent.run_folder.folder import RunFolder, require_store
from dux_agent.run_folder.recorder import Recorder
from dux_agent.settings import Settings
from dux_agent.training.looking import (
    BeforeSteps,
    CallersFunctions,
    Clone,
    Objective,
    Validate,
)
from dux_agent.training.process_ranks import ranks_of_process
from dux_agent.training.ranks import Ranks
from dux_agent.training.training import Training
from dux_sandbox.limits import Limits
from dux_sandbox.random_state import numbers_of_python_kept

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_core.language_models.chat_models import BaseChatModel
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from dux_graphs.budget import Budget
    from dux_graphs.language_model import LanguageModel
    from dux_graphs.search.strategy import Strategy

    Model = str | BaseChatModel | LanguageModel
    Models = Model | Sequence[Model] | Mapping[Model, float]
    Options = Mapping[str, Any] | None

_HALF_AN_HOUR = 1800.0  # seconds
_REASONING = {"True": "first", "False": "none"}


@numbers_of_python_kept()
def attach(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    objective: Objective,
    *,
    lm: Models | None = "offline",
    task: str | None = None,
    every: int | None = None,
    total_steps: int | None = None,
    max_attempts: int = 3,
    candidates: int = 1,
    dry_run_steps: int = 10,
    decision_steps: int | None = None,
    accept: str = "harmless",
    execution: str = "auto",
    lr_owner: str = "proposal",
    carry_over: str = "asked",
    validate: Validate | None = None,
    background: bool = False,
    budget: Budget | int | Mapping[str, float] | None = None,
    run_dir: str | Path | RunFolder | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    seed: int = 0,
    clone: Clone | None = None,
    prompts: str | Path | None = None,
    vocabulary: str = "short",
    zoo: bool = False,
    loss_name: str | None = None,
    steps_per_epoch: int | None = None,
    guard_steps: int = 100,
    history: str = "chat",
    history_characters: int = 60_000,
    context_window: int | None = None,
    reasoning: str | bool = "first",
    limits: Limits | Mapping[str, Any] | None = None,
    fallback: Models | None = None,
    fuzz: bool = False,
    also: Any = (),
    batch: Any = None,
    snapshots: str = "device",
    rollback_lr: float = 0.5,
    max_rollbacks: int = 3,
    schedulers: Any = None,
    keep_best: bool = False,
    lm_options: Options | Sequence[Options] = None,
    lm_timeout: float = 600.0,
    decision_timeout: float | None = None,
    strategy: Strategy | None = None,
    prices: str | Path | Mapping[str, Any] | None = None,
    approve: Callable[[Mapping[str, Any]], bool | str] | Literal["watch"] | None = None,
    experience: str | Path | None = None,
) -> Agent:
    """Attach an agent to a training; `agent.optimizer` takes the optimizer's place.

    A former agent over any of the same parameters is closed, with a warning in the
    log where it was still open: two cannot train the same weights. An optimizer that
    it was made over has its own options again then.

    Args:
        model: the module that is trained.
        optimizer: any torch optimizer over its parameters (docs/loops.md says how those
            of several models, and loose tensors, are held); live until the first
            proposal is applied, and again when everything else has failed. Step it
            only through `agent.optimizer` from now on. LR schedulers made over either
            keep working.
        objective: `(model, batch) -> loss`, a scalar tensor.
        lm: "offline" (rules, no language model), "recorded:FILE" (or a run folder),
            "openai:NAME", any "provider:NAME" of LangChain, or a LangChain chat model.
            A list: the first is asked, each of the others where those before it have
            failed for good. A dict of models with weights, `{A: 3, B: 1}`: each
            proposal is asked of one of them, more often of those that win for little.
            None: nobody is asked, the guard watches the optimizer itself.
        task: a few words on the task for the model, such as "MNIST".
        every: steps between decisions; None: only when `decide` is called.
        total_steps: steps of the whole run, so that a schedule can be planned.
        max_attempts: tries a decision may cost.
        candidates: proposals per try, asked for at the same time in several
            directions; dry runs leave half of them behind, then try the others longer,
            and the best one goes on.
        dry_run_steps: steps of the trial on a copy of the model.
        decision_steps: steps that all trials of a decision may take together, the
            incumbent's too: fewer proposals are asked for, or none any more, where
            there is no room, and the rate of a single one is raced where there is
            (docs/offline.md); None: as many as `max_attempts` and `candidates` come to.
        accept: what passes it: "harmless" (and of use, see docs/offline.md), "finite"
            or "not_worse".
        execution: where accepted rules run: "isolated" in a jailed process, "inline"
            in this one, "recorded" and "auto" as a program that a jailed process
            recorded and that was proven (docs/recorded.md). A rule that cannot be
            recorded runs isolated, and is refused where parameters are not on the CPU.
        lr_owner: who sets the learning rate where the loop has a schedule. "proposal":
            a rule's own counts at its swap, and is multiplied by what the schedule
            does from then on; "scheduler": the rule runs at the schedule's rates.
        carry_over: "asked", "always" or "never": whether a new rule gets the state of
            the one before that fits.
        validate: `model -> validation loss`, called once per decision in eval mode; a
            `dux_agent.tasks.mean_loss.MeanLoss` also says how noisy it is.
        background: ask the model in a thread; the swap waits for the next `observe`.
        budget: calls of the model in all, or a dict of "calls", "tokens", "money" (in
            dollars) and "seconds", or a `dux_agent.Budget`, which several agents may
            share. A call that may use more than is left is not made.
        run_dir: folder to make for the record of the run; None: none.
        checkpointer: a LangGraph saver; None: the run folder's, if there is one.
        seed: of every random choice of the agent's.
        clone: copies the model where `copy.deepcopy` cannot.
        prompts: folder with templates that override ours.
        vocabulary: "short": the model is told in some sentences what a rule may use,
            and of a name that is refused which others look like it; "full": the whole
            table of names, 12,000 characters more in each prompt.
        zoo: quote one or two optimizers of the literature in each prompt, those that
            fit the situation (docs/zoo.md).
        loss_name: what the loss is called, for the model.
        steps_per_epoch: of the loop, if it has epochs.
        guard_steps: steps after a swap with the dear checks.
        history: "chat": the model sees the conversation, older decisions as rows of a
            table; "compressed": a table alone; "best": the eight best rules so far,
            each with its score, the best one last.
        history_characters: how much of the conversation, or of the best rules, it sees
            word for word.
        context_window: tokens that a prompt and its reply may have together; None:
            what LangChain's profile of the model says, if anything. Earlier
            conversation is left out where there is no room for it.
        reasoning: "first" or True: the model is to write its reasons down before the
            code; "none" or False: the code alone.
        limits: time and memory that a rule may use.
        fallback: a chat model, or several, that are asked when `lm` has failed: the
            same as to name them behind it in a list.
        fuzz: try the laws of an optimizer on each proposal, in a jailed process,
            before its dry run; a broken law goes back to the model as a finding.
        also: a module, or several, that the objective or `validate` reach in a way
            that their closures, globals and attributes do not show. Their gradients,
            buffers, parameters and modes are kept as those of modules that are found.
        batch: one that `objective` takes, to call it once now, on a copy of the model;
            None: that is done with the first batch that `observe` is given.
        snapshots: where the guard's snapshots live: "device": beside the model; "host":
            in the CPU's memory; "off": none is kept, and a rule that does harm ends
            with nothing put back: the optimizer before it goes on from the weights as
            they are, even if they are not finite.
        rollback_lr: with `lm=None`: what rates are times after each rollback.
        max_rollbacks: with `lm=None`: how often the run goes back before a breach
            raises `TrainingDiverged`.
        schedulers: the LR scheduler of the optimizer, or a list of them; None: they
            are looked for at each decision, so that one may be made later.
        keep_best: keep the weights with the best validation loss in the CPU's memory,
            for `Agent.restore_best`; needs `validate`.
        lm_options: of the language models, such as `{"temperature": 0.7}`, or a list
            with a dict (or None) for each of them; "2:temperature" is of the second
            alone; `base_url` names a server that speaks like OpenAI. One that a server
            refuses is left out from then on.
        lm_timeout: seconds that a model may think before the first token of its reply.
        decision_timeout: seconds until a decision asks nobody any more and ends as
            "failed"; None: half an hour, or three times `lm_timeout` if that is more.
        strategy: who is asked for what, and which proposal goes on, as described in
            `dux_graphs.search.strategy`; None: as `candidates` says.
            Not both.
        prices: of models that we know no price of, or other ones: a JSON file, or what
            stands in it: `{"my-model": {"input": 0.5, "output": 1.5}}`, dollars per
            million tokens.
        approve: asked about each proposal that passed the dry run, before it is built:
            `{"source", "digest", "diff", "losses", "incumbent_losses"}` to True; to
            False, and what is live stays; or to a text, which goes back to the model.
            "watch": whoever watches the run is asked (`dux watch`), for as long as
            `decision_timeout`; then what is live stays. Needs `run_dir`.
        experience: a library of `dux learn`: prompts show what is nearest in it.

    In a process group of several ranks all of them attach, observe and decide at the
    same steps: the first asks, pays, tries and records, all swap or none. See
    docs/ranks.md.

    What every decision needs is tried once before anything is written: a copy of the
    model, `validate`, and with `batch` the objective. Weights, buffers, gradients,
    modes and random numbers are bit for bit as before.

    Raises:
        BadArgument: an argument cannot be meant, model or optimizer cannot be copied,
            `validate` returns no number, the objective no scalar or no gradient;
            nothing was written.
        RanksLost: one of several ranks did not attach.
        Whatever `clone`, `validate` or `objective` raise.
        RunFolderExists: `run_dir` holds something already.
        LibraryUnusable: `experience` is no library, or cannot be read.

    >>> net = nn.Linear(2, 1)
    >>> agent = attach(net, torch.optim.SGD(net.parameters(), lr=0.1),
    ...                lambda model, batch: model(batch).square().mean())
    >>> float(agent.step(torch.ones(4, 2))) >= 0
    True
    >>> agent.close()
    """
    given = dict(locals())  # those that are plain are called as in `Settings`
    arguments.check_model(model, optimizer, objective)
    check_kinds(model, optimizer, asks=lm is not None)
    arguments.check_seconds("lm_timeout", lm_timeout)
    settings = Settings.of(
        given,
        decision_timeout=_patience(decision_timeout, lm_timeout),
        execution=chosen_execution(execution, [*model.parameters()]),
        limits=arguments.read_limits(limits),
        prompts=arguments.check_prompts(prompts),
        reasoning=_REASONING.get(str(reasoning), reasoning),
    )
    arguments.check_snapshots(snapshots, lm)
    arguments.check_callables(validate=validate, clone=clone)
    arguments.check_approve(approve, run_dir)
    arguments.check_keep_best(keep_best, validate, lm)
    also = arguments.read_also(also)
    schedulers = schedulers_given(schedulers, optimizer)
    spending = budget_of(budget)
    ranks = ranks_of_process()
    check_ranks(ranks.count, model, background=background, keep_best=keep_best)
    settings = _alike(settings, ranks, execution)
    asked, searching = searching_of(given, ranks.rank, spending)
    if ranks.rank > 0:
        run_dir = checkpointer = None
    if run_dir is not None and checkpointer is None and asked is not None:
        require_store()
    before = BeforeSteps(optimizer.param_groups)
    first = CallersFunctions(model, before, objective, validate, clone, also)
    if asked is not None:
        _look_first(model, optimizer, first, batch, settings.execution)
    # Last of all: these change something.
    with Recorder.of(run_dir, settings, _all(lm, fallback)).begins() as recorder:
        take_over(optimizer)
        builder = Builder(settings)
        live = builder.live_optimizer(optimizer, model, schedulers)
        theirs = (validate, clone, also)
        training = Training.begun(model, live, objective, settings, *theirs)
        # Without a language model nothing is ever tried.
        training.functions.objective_checked = first.objective_checked or asked is None
        agent = Agent(
            training,
            builder,
            recorder,
            budget=spending,
            checkpointer=checkpointer,
            searching=searching,
            ranks=ranks,
        )
    return remember(agent)


def _look_first(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    first: CallersFunctions,
    batch: Any,
    execution: str,
) -> None:
    """Try what every decision needs, and say what no dry run can put back."""
    check_copied(optimizer)
    check_devices(execution, first.live.param_groups)
    warn_of_iterators(first.iterators)
    warn_of_recurrent_dropout(model)
    first.look_first(batch)


def _alike(settings: Settings, ranks: Ranks, wanted: str) -> Settings:
    chosen = ranks.gather(settings.execution)
    return replace(settings, execution=same_execution(chosen, wanted))


def _patience(decision_timeout: float | None, lm_timeout: float) -> float:
    """Seconds for a decision: as given, or enough for three slow calls."""
    if decision_timeout is not None:
        return decision_timeout
    return max(_HALF_AN_HOUR, 3 * lm_timeout)


def _all(lm: Any, fallback: Any) -> Any:
    """The models of a run as its record names them: one, or all of them in order."""
    several = [*arguments.listed(lm), *arguments.listed(fallback)]
    return several if len(several) > 1 else lm
