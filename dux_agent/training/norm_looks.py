"""The norm of the gradients, looked at now and then, read when its device has it."""

from dux_agent.live.gradients import norm_on_device
from dux_agent.training.loss_feed import OnItsWay
from dux_agent.training.training import Training
from dux_sandbox.running import parameters_of


class NormLooks:
    """Tells the statistics of one training what the norm is at some of its steps."""

    def __init__(self, training: Training) -> None:
        """No look was taken yet."""
        self._training = training
        self._late: OnItsWay | None = None  # of an earlier step's gradients

    def look(self) -> None:
        """The gradients of a step are there."""
        self.settle()
        live, statistics = self._training.live, self._training.statistics
        statistics.norm_comes()
        norm = norm_on_device(parameters_of(live.base.param_groups))
        if norm is None:
            return
        # A fused base optimizer gets them as GradScaler has multiplied them.
        scale = vars(live).get("grad_scale", vars(live.base).get("grad_scale"))
        read = live.guard.read(norm if scale is None else norm / scale)
        if isinstance(read, float):
            statistics.see_norm(read)
        else:
            self._late = read

    def settle(self) -> None:
        """Wait for the norm of the last look, which its device has computed since."""
        late, self._late = self._late, None
        if late is not None:
            self._training.statistics.see_norm(late())
