"""Checks what `attach` was given: each error says found, wanted and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dux_agent.choices import check_objective, choices
from dux_agent.errors import BadArgument
from dux_sandbox.limits import Limits

if TYPE_CHECKING:
    from dux_graphs.language_model import LanguageModel


def check_model(model: Any, optimizer: Any, objective: Any) -> None:
    """Raise BadArgument unless each of the three is of its kind."""
    if not isinstance(model, nn.Module):
        raise BadArgument(
            f"model is a {type(model).__name__}; a torch.nn.Module was wanted; pass "
            f"the module whose parameters the optimizer holds."
        )
    if next(model.parameters(), None) is None:
        raise BadArgument(
            f"the model {type(model).__name__} has no parameters; at least one was "
            f"wanted; pass the module that is trained."
        )
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise BadArgument(
            f"optimizer is a {type(optimizer).__name__}; a torch.optim.Optimizer was "
            f"wanted; pass for instance torch.optim.SGD(model.parameters(), lr=0.01)."
        )
    if hasattr(optimizer, "running"):
        raise BadArgument(
            "optimizer is the live optimizer of another agent; the optimizer of your "
            "own was wanted; pass that one."
        )
    if getattr(optimizer, "scaler", None) and hasattr(optimizer, "gradient_state"):
        raise BadArgument(
            "optimizer was prepared by Accelerate, which scales its gradients (fp16); "
            "one that was not was wanted, since a rule would see them scaled; attach "
            "first, then call accelerator.prepare(agent.optimizer)."
        )
    check_objective(objective)


def check_number(name: str, value: Any, *, least: int, optional: bool) -> None:
    """Raise BadArgument unless `value` is a whole number of at least `least`."""
    if value is None and optional:
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < least:
        leave = f"; pass {name}=None to leave it open" if optional else ""
        raise BadArgument(
            f"{name} is {value!r}; a whole number of at least {least} was "
            f"wanted{leave}."
        )


def check_share(name: str, value: Any) -> None:
    """Raise BadArgument unless `value` is a number above 0 and at most 1."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= 1:
        raise BadArgument(
            f"{name} is {value!r}; a number above 0 and at most 1 was wanted; pass "
            f"{name}=0.5 for half the rate."
        )


def check_choice(name: str, value: Any) -> None:
    """Raise BadArgument for a value that is none of its argument's choices."""
    if value not in choices(name):
        words = ", ".join(map(repr, choices(name)))
        raise BadArgument(
            f"{name} is {value!r}; one of {words} was wanted; pick one of them."
        )


def check_snapshots(snapshots: str, lm: Any) -> None:
    """Raise BadArgument where the guard of a run would have nothing to go back to."""
    if snapshots == "off" and lm is None:
        raise BadArgument(
            "snapshots is 'off' and lm is None; a guard that keeps snapshots was "
            "wanted, since going back to them is all it does; pass 'device' or 'host'."
        )


def check_keep_best(keep_best: Any, validate: Any, lm: Any) -> None:
    """Raise BadArgument where no validation loss would ever say which is best."""
    for name, value in (("validate", validate), ("lm", lm)):
        if keep_best and value is None:
            raise BadArgument(
                f"keep_best is {keep_best!r} and {name} is None; a run that validates "
                f"at its decisions was wanted; pass {name} too, or leave keep_best out."
            )


def check_callables(**given: Callable[..., Any] | None) -> None:
    """Raise BadArgument for what is neither None nor callable."""
    for name, value in given.items():
        if value is not None and not callable(value):
            raise BadArgument(
                f"{name} is a {type(value).__name__}; a callable that takes the model "
                f"was wanted; pass one or leave it out."
            )


def check_approve(approve: Any, run_dir: Any) -> None:
    """Raise BadArgument for what asks nobody about a proposal."""
    if approve == "watch" and run_dir is None:
        raise BadArgument(
            "approve is 'watch' and there is no run_dir; dux watch shows a run folder "
            'and answers in it; pass run_dir="runs/mine".'
        )
    if approve is not None and approve != "watch" and not callable(approve):
        raise BadArgument(
            f'approve is {approve!r:.80}; a callable of a proposal, or "watch", was '
            f"wanted; pass one or leave it out."
        )


def read_limits(limits: Limits | Mapping[str, Any] | None) -> Limits:
    """The limits of a rule; None gives the defaults."""
    if limits is None:
        return Limits()
    if isinstance(limits, Limits):
        return limits
    try:
        return Limits(**limits)
    except (TypeError, ValueError) as error:
        raise BadArgument(
            f"limits is {limits!r}: {error}; a dux_sandbox.Limits was wanted; pass "
            f"Limits(seconds=4.0)."
        ) from None


def read_also(also: Any) -> tuple[Any, ...]:
    """The modules and tensors of the argument `also`, one or several."""
    given = tuple(also) if isinstance(also, list | tuple | set) else (also,)
    for each in given:
        if not isinstance(each, nn.Module | torch.Tensor):
            raise BadArgument(
                f"also holds a {type(each).__name__}; modules and tensors were wanted; "
                f"pass for instance also=[teacher]."
            )
    return given


def check_prompts(prompts: str | Path | None) -> str | None:
    """The folder of the user's own templates, checked."""
    if prompts is None:
        return None
    from dux_prompts.brief import BriefError, check_folder

    try:
        return str(check_folder(prompts))
    except BriefError as error:
        raise BadArgument(str(error)) from None


def listed(given: Any) -> list[Any]:
    """One model or several as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple | Mapping) else [given]


def read_weights(lm: Any) -> list[float] | None:
    """The weights of models that are given as `{model: weight}`; None: there are none.

    Raises:
        BadArgument: one is no number above 0.
    """
    if not isinstance(lm, Mapping):
        return None
    for weight in lm.values():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 < weight < float("inf"):
            raise BadArgument(
                f"a model of lm has the weight {weight!r}; a number above 0 was "
                f"wanted; pass for instance lm={{'openai:gpt-4o': 3, 'offline': 1}}."
            )
    return [float(weight) for weight in lm.values()]


def language_models(
    lm: Any, fallback: Any, *, seed: int, options: Any = None, timeout: float
) -> tuple[LanguageModel, ...] | None:
    """The language models in the order that they are asked in; None where none is.

    Raises:
        BadArgument: a name means nothing, or an option cannot be meant.
    """
    names = [*listed(lm), *listed(fallback)]
    if lm is None:
        for name, value in (("fallback", fallback), ("lm_options", options)):
            if value:
                raise BadArgument(
                    f"{name} is {value!r} and lm is None; a {name} of a model was "
                    f"wanted; pass a model as lm, or leave it out."
                )
        return None
    if not listed(lm):
        raise BadArgument(
            "lm is an empty list; at least one language model was wanted; pass "
            "lm=None where nobody is to be asked."
        )
    from dux_graphs.language_model import LanguageModel
    from dux_graphs.models import ModelNameError, language_model, takes_options

    each = _options_of_each(options, [takes_options(name) for name in names])
    try:
        return tuple(
            name
            if isinstance(name, LanguageModel)
            else language_model(name, seed=seed, options=own, timeout=timeout)
            for name, own in zip(names, each, strict=True)
        )
    except ModelNameError as error:
        raise BadArgument(str(error)) from None


def _options_of_each(options: Any, takes: list[bool]) -> list[dict[str, Any]]:
    """The options of each model: a list has one dict for each, a dict is for all.

    In a dict those of one model are called by its place: `{"2:temperature": 0.7}`.

    Args:
        takes: whether each model takes any. A dict is then for those that do.
    """
    if isinstance(options, list | tuple):
        if len(options) != len(takes):
            raise BadArgument(
                f"lm_options holds {len(options)} dicts for {len(takes)} models; one "
                f"for each was wanted; pass None for a model without options."
            )
        return [check_options(each) for each in options]
    shared, own = check_options(options), [dict[str, Any]() for _ in takes]
    for name in list(shared):
        place, colon, called = name.partition(":")
        if not colon or not place.isdecimal():
            continue
        if not 1 <= int(place) <= len(takes) or not called:
            raise BadArgument(
                f"lm_options holds {name!r}, and there are {len(takes)} models; the "
                f"place of one of them was wanted; pass for instance 1:temperature."
            )
        own[int(place) - 1][called] = shared.pop(name)
    shares = [shared if each or not any(takes) else {} for each in takes]
    return [{**each, **its} for each, its in zip(shares, own, strict=True)]


def check_options(options: Any) -> dict[str, Any]:
    """The options of a language model as a dict of its own."""
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(
        isinstance(name, str) and name for name in options
    ):
        raise BadArgument(
            f"lm_options is {options!r}; a dict of options by name was wanted; pass "
            f"for instance lm_options={{'temperature': 0.7}}."
        )
    return dict(options)


def check_seconds(name: str, value: Any) -> None:
    """Raise BadArgument unless `value` is a number of seconds above 0."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value < float("inf"):
        raise BadArgument(
            f"{name} is {value!r}; a number of seconds above 0 was wanted; pass for "
            f"instance {name}=600."
        )


def check_scale(scale: Any) -> None:
    """Raise BadArgument unless a loss can be `scale` times an objective's."""
    number = isinstance(scale, (int, float)) and not isinstance(scale, bool)
    if not number or not 0 < scale < float("inf"):
        raise BadArgument(
            f"scale is {scale!r}; a number above 0 was wanted, loss = scale * "
            f"objective; pass 1/n where the loop divides by n, or leave it out."
        )
