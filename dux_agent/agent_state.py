"""All that an agent goes on from, gathered and given back.

A load judges every part first and builds the rules; only then is anything changed.
"""

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dux_agent.deciding.decider import Decider
from dux_agent.deciding.guarding import go_on_guarding
from dux_agent.deciding.loop import Loop
from dux_agent.live.checkpoint import copied_for_later
from dux_agent.live.guard_state import Snapshots, pack_guard
from dux_agent.live.loading import prepare
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard
from dux_agent.live.saved_checkpoint import readable, refused
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.kept_batches import kept_batches, placed, places_of
from dux_agent.training.training import Training
from dux_agent.training.whole_model import model_is_sharded
from dux_sandbox.random_state import RandomState
from dux_sandbox.running import parameters_of

log = logging.getLogger(__name__)

VERSION = 1


@dataclass(frozen=True)
class AgentState:
    """The parts of one agent that change as it goes."""

    training: Training
    loop: Loop
    decider: Decider
    recorder: Recorder
    run_guard: RunGuard | None
    rank: int = 0

    def state_dict(self, snapshots: Snapshots) -> dict[str, Any]:
        """See `Agent.state_dict`."""
        run, training = self.run_guard, self.training
        self.loop.settle_to_save()
        batches = kept_batches(training.batches)
        return {
            "version": VERSION,
            "snapshots": snapshots,
            "optimizer": copied_for_later(training.live.state_dict(), training.live),
            "watch": training.statistics.state_dict(),
            "loop": self.loop.state_dict(),
            "batches": batches,
            "batch_places": places_of(batches, _device_of(training.live)),
            "guard": pack_guard(training.live, snapshots),
            "run_guard": None if run is None else run.state_dict(snapshots=snapshots),
            "random": RandomState.take().state_dict(),
            "rank": self.rank,
            "trace": self.recorder.position,
            **self.decider.state_dict(),
        }

    def load_state_dict(self, state: Any) -> None:
        """See `Agent.load_state_dict`."""
        live, statistics = self.training.live, self.training.statistics
        if not isinstance(state, Mapping) or state.get("version") != VERSION:
            raise refused(f"it is no agent's state of version {VERSION}")
        saved_by = state.get("rank", 0)
        if saved_by != self.rank and model_is_sharded(self.training.model):
            raise refused(
                f"it is of the part of a sharded model that rank {saved_by} holds, and "
                f"this is rank {self.rank}; let each rank save and load its own"
            )
        with readable("its 'random'"):
            random = RandomState.of(state.get("random", {}))
        with readable("its 'batches'"):
            batches = copy.deepcopy(list(state["batches"]))
            if "batch_places" in state:  # older checkpoints do not say
                batches = placed(batches, state["batch_places"], _device_of(live))
        with readable("its 'watch'"):
            copy.deepcopy(statistics).load_state_dict(state["watch"])
        with readable("its 'loop'"):
            self.loop.try_state_dict(state.get("loop", {}))
        with readable("its 'decisions'"):
            decide_from_there = self.decider.prepare(state)
        guard_run_from_there = go_on_guarding(self.run_guard, state.get("run_guard"))
        optimizer = live.before_load(state.get("optimizer"))
        prepared = prepare(live, optimizer, state.get("guard"))
        try:
            self.recorder.go_on_from(state.get("trace"))
            self.decider.give_up("a checkpoint was loaded first")
        except BaseException:
            prepared.drop()
            raise
        statistics.load_state_dict(state["watch"])
        prepared.take_over()
        live.after_load()
        guard_run_from_there()
        self.loop.load_state_dict(state.get("loop", {}))
        self.training.batches.clear()
        self.training.batches.extend(batches)
        decide_from_there()
        if saved_by == self.rank:  # other ranks draw other numbers
            random.restore()
        if state.get("snapshots", True) is False:
            log.warning(
                "the checkpoint was taken without snapshots: a rollback goes back to "
                "the weights of this load, and to the base optimizer, which begins "
                "without its state."
            )


def _device_of(live: DuxOptimizer) -> torch.device:
    """Where the first of its parameters is; the CPU where a loop has taken all out."""
    first = next(iter(parameters_of(live.param_groups)), None)
    return torch.device("cpu") if first is None else first.device
