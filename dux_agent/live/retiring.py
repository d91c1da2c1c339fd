"""Gives the base optimizer back to whoever made it, when another agent takes over."""

from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.run_guard import RunGuard, hold_back


def retire(live: GuardedSlot) -> None:
    """Put the base optimizer's own options back into its groups, in place.

    While a rule is live the groups hold the rule's options, and may lack some of the
    base's own; after a rollback without a language model they may hold a lowered
    rate. Rates become what the loop's schedule sets. The weights stay as they are, and
    the rules behind `live` are not ended here: close it first.
    """
    if live.running is live.base_rule:
        if isinstance(live.guard, RunGuard):
            hold_back(live, 1.0)
        return
    live.give_way(live.base_predecessor)
    live.guard.disarm()
