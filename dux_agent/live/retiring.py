"""Gives the base optimizer back to whoever made it, when another agent takes over."""

from __future__ import annotations

from dux_agent.live.group_options import give_back
from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.run_guard import RunGuard


def retire(live: DuxOptimizer) -> None:
    """Put the base optimizer's own options back into its groups, in place.

    While a rule is live the groups hold the rule's options, and may lack some of the
    base's own; after a rollback without a language model they may hold a lowered
    rate. What schedulers did to a rate stays done. The weights stay as they are, and
    the rules behind `live` are not ended here: close it first.
    """
    if isinstance(live.guard, RunGuard):
        live.guard.rates.undo(live.param_groups)
    if live.running is live.base_rule:
        return
    standing, watch = live.base_standing, live.guard.watch
    for index, group in enumerate(live.param_groups):
        options = standing.options[index]
        give_back(
            group,
            owned=live.owned[index],
            incumbent=options,
            at_swap=options if watch is None else watch.at_swap[index],
            trail=live.trails[index],
        )
    live.make_live(live.base_rule, standing.owned)
    live.guard.disarm()
