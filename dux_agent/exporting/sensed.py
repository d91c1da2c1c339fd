"""What an exported rule with sensors needs beside `dux_sandbox.sensing`.

`dux_agent.exporting.module_text` writes the text of this file into modules that need
only torch.
"""

from __future__ import annotations

from typing import Any

from dux_sandbox.sensing import Sensing


def give_sensors(rule: Any, names: tuple[str, ...], done: int, total: Any) -> None:
    """Have a class find its sensors in each group before each step.

    They are taken out of the groups after it, so that no checkpoint holds them. What
    they have learned is not saved: after loading they begin anew.

    Args:
        rule: an optimizer class, changed in place; its instances get `observe(loss)`,
            to be called after each step where no closure returns the loss.
        names: of the sensors.
        done: steps of the run that are over when it begins.
        total: steps of the whole run; None: not known, and "step_fraction" is 0.
    """
    add, step = rule.add_param_group, rule.step

    def add_param_group(self: Any, param_group: Any) -> None:
        add(self, {**dict.fromkeys(names, 0.0), **param_group})

    def sensing_of(self: Any) -> Sensing:
        if "_sensing" not in vars(self):
            parameters = [p for group in self.param_groups for p in group["params"]]
            self._sensing = Sensing(names, parameters, done, total)
        sensing: Sensing = self._sensing
        return sensing

    def told_step(self: Any, closure: Any = None) -> Any:
        sensing = sensing_of(self)
        for group in self.param_groups:
            group.update(sensing.values())
        sensing.step_begins()
        if closure is None:
            sensing.gradients_ready()
            result = step(self)
        else:
            result = step(self, sensing.around(closure))
            if result is not None:
                self.observe(result)
        sensing.step_ends()
        for group in self.param_groups:
            for name in names:
                group.pop(name, None)
        return result

    def observe(self: Any, loss: Any) -> None:
        """Tell the rule the loss of the step that is over."""
        if "loss_trend" in names:  # else a device need not be waited for
            sensing_of(self).hear(float(loss))

    rule.add_param_group, rule.step, rule.observe = add_param_group, told_step, observe
