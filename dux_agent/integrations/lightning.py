"""Two lines in Lightning: `L.Trainer(callbacks=[DuxCallback(lm=..., every=500)])`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dux_agent.agent import Agent
from dux_agent.attached import agent_of, close_all
from dux_agent.attaching import attach
from dux_agent.choices import check_objective
from dux_agent.errors import BadArgument, MissingExtra
from dux_agent.integrations.attach_options import check_attach_options
from dux_agent.integrations.lightning_losses import (
    StepLosses,
    loss_in,
    objectives_for,
)
from dux_agent.integrations.news import DecisionNews
from dux_agent.live.base_state import state_of_base
from dux_agent.training.looking import Objective
from dux_sandbox.random_state import RandomState, random_numbers_kept

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer

try:
    from lightning.pytorch.callbacks import Callback
except ImportError:
    raise MissingExtra.of(
        "lightning", extra="lightning", purpose="DuxCallback"
    ) from None
from dux_agent.integrations.lightning_trainer import (
    names_of,
    point_schedulers,
    spare_hooks,
    tell,
    total_steps,
)

_KEY = "dux_agent"


class DuxCallback(Callback):
    """Puts an agent behind the optimizer of a LightningModule, and behind each of them.

        trainer = L.Trainer(callbacks=[DuxCallback(lm="openai:gpt-4o", every=500)])

    The live optimizer takes the place of what `configure_optimizers` returned, and
    schedulers are pointed at it. Each loss is told once, in the scale of the objective.
    The agent is saved with the trainer's checkpoints, under a key of its own, and goes
    on from there with `ckpt_path`; the optimizer's entry of a checkpoint is the base
    optimizer's, so that it can be loaded where there is no agent. Decisions are logged
    to the trainer's loggers and shown in its progress bar as `dux/...`.

    Automatic and manual optimization, accumulated gradients, clipping and precision
    plugins work as without it. A module that has attached an agent itself and returns
    its optimizer keeps that agent; it leaves `observe` to the callback.

    Attributes:
        agents: by the name of their optimizer; empty before `fit`.
    """

    def __init__(
        self,
        objective: Objective | Mapping[str, Objective | None] | None = None,
        **attach_options: Any,
    ) -> None:
        """Nothing is attached before `fit`.

        Args:
            objective: `(module, batch) -> loss`; None: the module's `training_step`,
                which is called on a copy. With several optimizers one for each, by
                its name: what the names of its parameters begin with ("generator"),
                or else its number ("0"). None for one of them: it gets no agent.
            attach_options: of `dux_agent.attach`. `total_steps` is the trainer's where
                it is known. With several optimizers `run_dir` gets a folder for each.

        Raises:
            BadArgument: an objective cannot be called.
            TypeError: `attach` has no such option.
        """
        check_attach_options(attach_options)
        each = objective.values() if isinstance(objective, Mapping) else (objective,)
        for given in each:
            if given is not None:
                check_objective(given)
        self.agents: dict[str, Agent] = {}
        self._objective = objective
        self._options = attach_options
        self._news: dict[str, DecisionNews] = {}
        self._indexed: set[str] = set()  # agents of which training_step is asked
        self._losses = StepLosses()
        self._saved: dict[str, Any] | None = None
        self._random: RandomState | None = None

    @property
    def agent(self) -> Agent:
        """The only agent there is.

        Raises:
            BadArgument: there is none yet, or there are several.
        """
        if len(self.agents) != 1:
            names = ", ".join(self.agents) or "none"
            raise BadArgument(
                f"the callback has {len(self.agents)} agents ({names}); one was "
                f"wanted; call trainer.fit first, or look into callback.agents."
            )
        return next(iter(self.agents.values()))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """What an earlier checkpoint held is past."""
        self._saved = self._random = None
        spare_hooks(self, DuxCallback, False)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The loader of the epoch that is begun draws what it would have drawn."""
        if self._saved is not None and not self._saved["mid_epoch"]:
            _random_in(self._saved).restore()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put an agent behind each optimizer, as late as the run's length is known.

        They go on from the checkpoint, whose weights and counts are loaded by now.
        """
        self._attach(trainer, pl_module)
        saved, self._saved = self._saved, None
        if saved is not None:
            self._go_on_from(saved)

    def _attach(self, trainer: Trainer, pl_module: LightningModule) -> None:
        strategy: Any = trainer.strategy
        optimizers = list(strategy.optimizers)
        names = names_of(pl_module, optimizers)
        objectives = objectives_for(trainer, names, self._objective)
        total = total_steps(trainer) if len(optimizers) == 1 else None
        self.agents, self._indexed = {}, set()
        for index, (name, optimizer) in enumerate(zip(names, optimizers, strict=True)):
            agent = agent_of(optimizer)
            objective = objectives[name]
            if agent is None and objective is not None:
                options = {"total_steps": total, **self._options}
                folder = options.get("run_dir")
                if len(names) > 1 and isinstance(folder, str | PathLike):
                    options["run_dir"] = Path(folder) / name
                agent = attach(pl_module, optimizer, objective, **options)
                if self._objective is None:
                    self._indexed.add(name)
                point_schedulers(trainer, optimizer, agent.optimizer)
            if agent is not None:
                self.agents[name] = agent
                optimizers[index] = agent.optimizer
        strategy.optimizers = optimizers
        self._losses = StepLosses()
        self._news = {name: DecisionNews(each) for name, each in self.agents.items()}

    def _go_on_from(self, saved: dict[str, Any]) -> None:
        lost = sorted(set(saved["agents"]) ^ set(self.agents))
        if lost:
            raise BadArgument(
                f"the checkpoint and this training do not both have an agent for "
                f"{', '.join(lost)}; the same optimizers were wanted; train on without "
                f"DuxCallback, or give it the same objectives."
            )
        with random_numbers_kept():
            for name, agent in self.agents.items():
                agent.load_state_dict(saved["agents"][name])
                self._news[name].skip()
        if saved["mid_epoch"]:
            # Until its first batch the loader draws what it has drawn before.
            self._random = _random_in(saved)

    def on_train_epoch_start(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> None:
        """The module may optimize in another way from now on."""
        spare_hooks(self, DuxCallback, False)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """A step begins."""
        random, self._random = self._random, None
        if random is not None:
            random.restore()
        if pl_module.automatic_optimization:
            spare_hooks(self, DuxCallback, True)  # this one too
        else:
            self._losses.begin((batch, batch_idx))

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Any
    ) -> None:
        """Manual optimization says nowhere else what it trains on."""
        if not pl_module.automatic_optimization:
            scaler = getattr(trainer.precision_plugin, "scaler", None)
            self._losses.backward(loss if scaler is None else loss / scaler.get_scale())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Any
    ) -> None:
        """The losses since the last step were this optimizer's."""
        if not pl_module.automatic_optimization:
            self._losses.step(optimizer)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Tell the agents of their losses; tell the loggers of what they decided."""
        returned, automatic = loss_in(outputs), pl_module.automatic_optimization
        for name, agent in self.agents.items():
            if not automatic:
                self._observe_manual(name, agent, returned, (batch, batch_idx))
            elif returned is not None:
                told = (batch, batch_idx) if name in self._indexed else batch
                agent.observe(returned, told, scale=1 / trainer.accumulate_grad_batches)
            if agent.decisions:
                under = "dux" if len(self.agents) == 1 else f"dux/{name}"
                again = batch_idx == 0
                tell(trainer, agent, self._news[name], under, again=again)
        if not automatic:
            self._losses.drop()
            spare_hooks(self, DuxCallback, False)

    def _observe_manual(
        self, name: str, agent: Agent, returned: Any, batch: tuple[Any, int]
    ) -> None:
        stepped = self._losses.stepped(agent.optimizer)
        heard, share = self._losses.take(agent.optimizer)
        own = name in self._indexed  # the training step itself is its objective
        scale = share if own and heard else None
        if stepped and not heard:
            if len(self.agents) > 1 or returned is None:
                raise BadArgument(
                    "an optimizer stepped and no loss was seen; a backward pass by "
                    "self.manual_backward(loss) was wanted, or a training_step that "
                    "returns the loss of its only optimizer; call "
                    "self.manual_backward(loss) in place of loss.backward()."
                )
            heard = [(batch, returned)]
        for its_batch, loss in heard:
            agent.observe(loss, its_batch if own else its_batch[0], scale=scale)

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Put the agents into a checkpoint, and the base optimizers in their place."""
        if not self.agents:
            if self._saved is not None:  # nothing was left to train
                checkpoint[_KEY] = self._saved
            return
        progress = trainer.fit_loop.epoch_loop.batch_progress
        states = {name: agent.state_dict() for name, agent in self.agents.items()}
        checkpoint[_KEY] = {"agents": states, "mid_epoch": not progress.is_last_batch}
        live = {id(agent.optimizer): agent.optimizer for agent in self.agents.values()}
        for index, optimizer in enumerate(trainer.optimizers):
            if id(optimizer) in live:
                state = state_of_base(live[id(optimizer)])
                checkpoint["optimizer_states"][index] = state

    def on_load_checkpoint(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep what it holds of the agents until training begins."""
        self._saved = checkpoint.get(_KEY)

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End threads and processes; a trouble with that is a note of the exception."""
        close_all(self.agents.values(), exception)

    def teardown(
        self, trainer: Trainer, pl_module: LightningModule, stage: str
    ) -> None:
        """End threads and processes; what was decided can still be read."""
        close_all(self.agents.values())


def _random_in(saved: dict[str, Any]) -> RandomState:
    """The random numbers of a checkpoint; all agents of it hold the same."""
    return RandomState.of(next(iter(saved["agents"].values()))["random"])
