"""What a step of a rule must leave alone, looked at before and after it."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from dux_agent.live.integrity import Hooks, Makes
from dux_agent.live.option_judge import OptionJudge
from dux_sandbox.findings import RuleFailed
from dux_sandbox.global_modes import Modes
from dux_sandbox.running import ParamGroups, parameters_of


class StepLooks:
    """Modes, hooks, options and parameters around one step; made just before it."""

    def __init__(
        self,
        groups: ParamGroups,
        model: torch.nn.Module | None,
        makes: Makes,
        *,
        here: bool,
    ) -> None:
        """Look at them as they are.

        Args:
            model: whose modules' hooks are looked at too.
            makes: the parameters as they were when the rule was built.
            here: the rule runs in this process. No other can reach hooks and modes.
        """
        self._makes = makes
        self._modes = Modes() if here else None
        self._hooks = Hooks(parameters_of(groups), model, here)
        self._options = OptionJudge(groups)

    def run(self, step: Callable[[], Any]) -> tuple[Any, str | None]:
        """What the step returns, and why it failed; torch's modes are put back.

        Raises:
            BaseException: an interrupt; the options are put back first, since a
                scheduler may step before the next step.
        """
        result: Any = None
        reason: str | None = None
        try:
            result = step()
        except RuleFailed as failed:
            reason = f"the rule failed: {failed.finding}"
        except Exception as error:
            # A running rule raises RuleFailed or what the closure raised; anything
            # else is a fault of ours that must not end a training.
            reason = f"the rule failed: {type(error).__name__}: {error}"
        except BaseException:
            self._options.put_back()
            raise
        finally:
            if self._modes is not None:
                changed = self._modes.changed()
                self._modes.restore()
                reason = reason or changed
        return result, reason

    def fault(self, memory: Callable[[], Iterable[torch.Tensor]]) -> str | None:
        """What the step changed that is none of a rule's business, or None.

        Args:
            memory: gives every tensor that a rate must not be a part of.
        """
        fault = self._options.fault(memory)
        return fault or self._makes.changed() or self._hooks.changed()

    def put_back(self) -> None:
        """Undo all of that; values are the snapshot's."""
        self._hooks.restore()
        self._options.put_back()
        self._makes.restore()
