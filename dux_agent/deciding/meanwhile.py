"""What became of the weights while a decision was made in the background."""

from dux_agent.deciding.nothing_to_try import NOT_FINITE
from dux_agent.live.integrity import all_finite
from dux_agent.live.loss_bound import LossBound, LossJudge
from dux_agent.training.outdated import Outdated
from dux_agent.training.training import Training
from dux_sandbox.dry_runs.scratch import out_of_memory
from dux_sandbox.running_rule import parameters_of
from dux_sandbox.scalar_loss import scalar_loss

_NOTHING = "while it was decided training itself went astray, so nothing was applied: "


class Meanwhile:
    """Says whether training is still what a decision was begun on.

    What an optimizer has spoilt by itself no rule mends, nor is one to blame for it. It
    is judged as a live rule is, by bounds of the losses before the decision. Where a
    rollback has put weights back since then, their own loss alone tells of them.
    """

    def __init__(self, training: Training) -> None:
        """The decision begins now, and with it an interval."""
        statistics = training.statistics
        self._training = training
        self._reach = statistics.reach or 0.0
        self._bound = LossBound.of(list(statistics.recent), reach=self._reach)
        self._put_back = training.live.guard.put_back

    def require_sound(self) -> None:
        """Raise Outdated where training has gone astray, before something is tried."""
        why = self._astray(LossJudge(self._bound, reach=self._reach))
        if why is not None:
            raise Outdated(_NOTHING + why)

    def spoilt(self) -> str | None:
        """Why the rule that passed is not to be applied; None where it may be.

        The last step may have done it, of which no loss has told yet: so the objective
        is called once, on a copy.

        Raises:
            Whatever the objective raises.
        """
        judge = LossJudge(self._bound, reach=self._reach)
        why = self._astray(judge)
        if why is None:
            loss = self._loss_now()
            why = None if loss is None else judge.see(loss)
        return None if why is None else _NOTHING + why

    def _astray(self, judge: LossJudge) -> str | None:
        """What speaks against the weights as they are; `judge` has seen the losses."""
        if not all_finite(parameters_of(self._training.live.param_groups)):
            return NOT_FINITE
        why = None
        for loss in self._losses_since():
            why = judge.see(loss)
        return why

    def _losses_since(self) -> list[float]:
        statistics, guard = self._training.statistics, self._training.live.guard
        if guard.put_back != self._put_back:
            return []
        return list(statistics.recent)[-statistics.seen :] if statistics.seen else []

    def _loss_now(self) -> float | None:
        """That of the newest batch, with the weights as they are."""
        training = self._training
        try:
            found = training.functions.objective_on_a_copy(training.batches[-1])
        except Exception as error:
            if out_of_memory(error):  # the dry run had some; the swap may have, too
                return None
            raise
        return float(scalar_loss(found))
