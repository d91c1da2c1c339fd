"""An option acts in one group as it does in another, whatever it means."""

from dux_sandbox.laws.cases import Case, tensor_text
from dux_sandbox.laws.script import Unjudged
from dux_sandbox.laws.training import Training

_ALIKE = "rtol=1e-4, atol=1e-6, equal_nan=True"


def alike(training: Training, held: Case, place: int) -> None:
    """An option changed in the first group acts as it does changed in the second.

    Both groups hold equal tensors. Any option will do, whatever it means.
    """
    options = [
        (name, other)
        for name, value in sorted(training.facts.options.items())
        for other in [_another(value)]
        if other is not None
    ]
    if place >= len(options) or training.facts.random or training.facts.line_search:
        raise Unjudged("the rule has no such option")
    option, value = options[place]
    control = training.apart()
    both = f"for group in optimizer.param_groups: group[{option!r}] = {value!r}"
    _two_groups(control, held, "", both)
    if not control.script.look(f"torch.allclose(a, b, {_ALIKE})"):
        raise Unjudged("equal tensors are not trained alike: `order` says so")
    for suffix, group in (("", 0), ("2", 1)):
        change = f"optimizer{suffix}.param_groups[{group}][{option!r}] = {value!r}"
        _two_groups(training, held, suffix, change)
    for one, other in (("a", "b2"), ("b", "a2")):
        training.claim(
            f"torch.allclose({one}, {other}, {_ALIKE})",
            f"{option} set in the first group acts otherwise than in the second",
        )


def _two_groups(training: Training, held: Case, suffix: str, change: str) -> None:
    """Train equal tensors on equal gradients in two groups, with a change at first."""
    shape = held.parameters[0].shape
    for name in "ab":
        training.run(f"{name}{suffix} = {held.parameters[0].text(0)}")
    training.run(
        f'optimizer{suffix} = factory([{{"params": [a{suffix}]}}, '
        f'{{"params": [b{suffix}]}}])'
    )
    training.run(change)
    for step, kinds in enumerate(held.gradients):
        for name in "ab":
            given = tensor_text(shape, kinds[0], 5 * step)
            training.run(f"{name}{suffix}.grad = {given}")
        training.step(held, suffix)


def _another(value: object) -> object:
    """Another value for an option of this kind; None where there is none."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, float):
        return value / 3 + 0.01
    if isinstance(value, tuple) and all(isinstance(each, float) for each in value):
        return tuple(each / 3 + 0.01 for each in value) or None
    return None
