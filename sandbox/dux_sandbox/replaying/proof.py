"""The proof before use: a rule recorded and as it is, on copies of weights."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch

from dux_sandbox.findings import RuleFailed, digest_of
from dux_sandbox.limits import Limits
from dux_sandbox.process.isolated import IsolatedRule
from dux_sandbox.recorded.tape import Unrecordable
from dux_sandbox.recorded.trees import is_leaf
from dux_sandbox.replaying.bounds import Bounds
from dux_sandbox.replaying.branches import Recording
from dux_sandbox.replaying.child import RecordingProcess
from dux_sandbox.replaying.kept import KeptTree
from dux_sandbox.replaying.replay import Replay
from dux_sandbox.replaying.samples import chosen, copies, smaller
from dux_sandbox.running_rule import ParamGroups, parameters_of

# A rule's first step, the one after it, large gradients, and one that is missing.
_SCALES = (0.1, 1.0, 10.0, 0.1)
# Of the largest weight; eigenvectors and sums hang on the order of additions. What is
# kept in float64 was made of gradients that may be coarser.
_TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}
_HALF = 3e-2
_MOST_PROVEN = 16
_proven: dict[Any, list[Recording] | Unrecordable] = {}


def prove(
    source: str,
    groups: ParamGroups,
    process: RecordingProcess,
    bounds: Bounds,
    limits: Limits,
    seed: int,
) -> list[Recording]:
    """Take some steps recorded and isolated, and compare weights and what is kept.

    Once for each source, set of shapes, bounds and seed; the weights are copies on the
    CPU, of large ones corners, where the rule's first step on those is the same
    operations.

    Returns:
        What was recorded of the first steps, with and without a closure; nothing where
        some parameters stood for all. The kernels are compiled.

    Raises:
        Unrecordable: they differ, and where.
        RuleFailed: the rule itself failed.
    """
    shapes = tuple(
        tuple(
            (each.device, each.dtype, each.shape, each.stride(), each.requires_grad)
            for each in group["params"]
        )
        for group in groups
    )
    key = (digest_of(source), shapes, bounds, seed, torch.get_default_dtype())
    if key not in _proven:
        try:
            _proven[key] = _recordings(source, groups, process, bounds, limits, seed)
        except Unrecordable as error:
            _proven[key] = error
        while len(_proven) > _MOST_PROVEN:
            del _proven[next(iter(_proven))]
    found = _proven[key]
    if isinstance(found, Unrecordable):
        raise found
    return found


def _recordings(
    source: str,
    groups: ParamGroups,
    process: RecordingProcess,
    bounds: Bounds,
    limits: Limits,
    seed: int,
) -> list[Recording]:
    """As `prove`, whatever was proven before."""
    kept = chosen(groups)
    few = smaller(kept)
    whole = len(parameters_of(kept)) == len(parameters_of(groups)) and few is kept
    if few is not kept:
        first = [_first_step(source, each, bounds, limits) for each in (kept, few)]
        kept = few if first[0] == first[1] else kept
    theirs = copies(kept)
    ours = copies(theirs)
    if not whole:
        process = RecordingProcess(source, ours, limits=limits, seed=seed)
    isolated = None
    try:
        isolated = IsolatedRule.build(source, theirs, limits=limits, seed=seed)
        for group, options in zip(theirs, isolated.options, strict=True):
            group.update(options)
        isolated.bind(theirs)
        replay = Replay(parameters_of(ours), process, bounds)
        replay.build(process.program)
        recorded = _compare(
            replay, isolated, parameters_of(ours), parameters_of(theirs), seed
        )
    finally:
        if isolated is not None:
            isolated.close()
        if not whole:
            process.close()
    # Once for all who will have these programs, or like ones over more parameters.
    Replay(parameters_of(kept), process, bounds, compiles=True).adopt(recorded)
    return recorded if whole else []


def _first_step(
    source: str, groups: ParamGroups, bounds: Bounds, limits: Limits
) -> Any:
    """What a rule does in its first step, but for shapes and constants.

    Raises:
        Unrecordable, ProgramRefused, RuleFailed: it does nothing that can be recorded.
    """
    process = RecordingProcess(source, groups, limits=limits)
    try:
        parameters = parameters_of(groups)
        replay = Replay(parameters, process, bounds)
        replay.build(process.program)
        present = [each.requires_grad for each in parameters]
        closure = "float32" if process.requires_closure else None
        program = replay.foresee(present, closure).program
    finally:
        process.close()
    done = [(each.name, each.arguments) for each in program.operations]
    asked = [(each.value, each.expected) for each in program.guards]
    return done, asked, [each.place for each in program.inputs], program.outputs


def _compare(
    replay: Replay,
    isolated: IsolatedRule,
    ours: Sequence[torch.Tensor],
    theirs: Sequence[torch.Tensor],
    seed: int,
) -> list[Recording]:
    generator = torch.Generator().manual_seed(seed)
    pairs = list(zip(ours, theirs, strict=True))
    recorded: list[Recording] = []
    one_loss = torch.tensor(1.0, dtype=torch.float32, device="cpu")
    closure = (lambda: one_loss) if isolated.requires_closure else None
    for step, scale in enumerate(_SCALES):
        last = step == len(_SCALES) - 1
        if last:
            _compare_kept(replay, isolated)
            recorded = replay.recorded
        for at, (one, other) in enumerate(pairs):
            # A loop may have set another default device, whose generator this is not.
            drawn = torch.randn(one.shape, generator=generator, device=one.device)
            values = drawn.to(one.dtype) * scale
            there = one.requires_grad and not (last and at == 0 and len(pairs) > 1)
            one.grad = values if there else None
            other.grad = values.clone() if there else None
        try:
            isolated.step(closure, seconds=60.0)
        except RuleFailed:
            if last:
                break  # it does not do without a gradient, recorded or not
            raise
        if closure is None and isolated.takes_closure and not last:
            _foresee_with_closure(replay, ours)
        if closure is None:
            replay.step(None, None)
        else:
            replay.step("float32", one_loss)
        for at, (one, other) in enumerate(pairs):
            _require_near(one.detach(), other.detach(), f"parameter {at}", step)
    return recorded


def _foresee_with_closure(replay: Replay, parameters: Sequence[torch.Tensor]) -> None:
    """Record what the next step would be in a loop that gives a closure."""
    present = [each.grad is not None for each in parameters]
    if replay.known(present, "float32") is None:
        # What is not to be recorded is told when such a step comes.
        with suppress(Unrecordable):
            replay.foresee(present, "float32")


def _compare_kept(replay: Replay, isolated: IsolatedRule) -> None:
    kept = KeptTree()
    kept.take(isolated.snapshot())
    weights = replay.places.parameters
    if list(kept.values) != list(replay.kept.values):
        raise Unrecordable("keeps other things when it is recorded", None)
    for place, value in kept.values.items():
        mine = replay.kept.values[place]
        if isinstance(value, torch.Tensor) and isinstance(mine, torch.Tensor):
            of = [weights[int(place[1])]] if place[0] == "state" else weights
            most = max(map(_tolerance, of), default=0.0)
            what = f"what it keeps as {place}"
            _require_near(mine, value, what, replay.steps - 1, most)
        elif is_leaf(value) and mine != value and not alike(mine, value):
            raise Unrecordable(f"keeps another number as {place}", None)


def alike(one: Any, other: Any) -> bool:
    """Whether two numbers differ by the rounding of a sum alone, or are both NaN."""
    if one != one or other != other:
        return bool(one != one and other != other)
    return bool(abs(one - other) <= _TOLERANCES[torch.float32] * abs(other))


def _tolerance(tensor: torch.Tensor) -> float:
    return _TOLERANCES.get(tensor.dtype, _HALF)


def _require_near(
    one: torch.Tensor, other: torch.Tensor, what: str, step: int, least: float = 0.0
) -> None:
    if one.shape != other.shape or one.dtype != other.dtype:
        raise Unrecordable(f"gives {what} another shape when it is recorded", None)
    if not one.numel() or torch.equal(one, other):
        return
    tolerance = max(_tolerance(one), least) if one.is_floating_point() else 0.0
    one, other = one.double(), other.double()
    odd = ~other.isfinite()
    if not torch.equal(one.isfinite(), other.isfinite()):
        raise Unrecordable(f"gives {what} other infinities when it is recorded", None)
    far = float((one - other).masked_fill(odd, 0.0).abs().max())
    size = float(other.masked_fill(odd, 0.0).abs().max())
    if far > tolerance * size:
        raise Unrecordable(
            f"gives other values when it is recorded: {what} is {far:.3g} off after "
            f"{step + 1} steps, of {size:.3g}",
            None,
        )
