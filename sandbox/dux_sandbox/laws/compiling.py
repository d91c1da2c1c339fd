"""Laws for rules that are to be compiled or captured, tried where asked for."""

from dux_sandbox.laws.cases import Case
from dux_sandbox.laws.law import MATRIX, Drawn, Law, case, listed
from dux_sandbox.laws.script import Died, Raised, Unjudged, Violation
from dux_sandbox.laws.training import Training

# What torch raises where the values of a tensor would be needed that has none.
_NEEDS_VALUES = (
    "DataDependentOutput",
    "DynamicOutputShape",
    "data-dependent",
    # and of a tensor on the meta device
    "cannot be called on meta tensors",
    "Cannot copy out of meta tensor",
    "torch.nonzero() raises unimplemented",
    "aten::masked_select:",
    "aten::_unique",
    "aten::bincount:",
    "aten::equal:",
    "cannot repeat_interleave a meta tensor",
)
# What is raised where a step cannot be traced, and not by the rule.
_CANNOT_TRACE = (
    "Dynamo",
    "TorchRuntimeError",
    "Unsupported",
    "BackendCompilerFailed",
    "PermissionError",
    "ModuleNotFoundError",
)


def capturable(training: Training, held: Case) -> None:
    """On tensors without values a step runs through, with a rate that is one."""
    if training.facts.by_closure:
        raise Unjudged("a closure is not captured with the step")
    training.accuse()
    # torch's own refuse to be capturable on the CPU; elsewhere not every operation has
    # a fake where that device is not installed.
    device = "cuda" if training.facts.options.get("capturable") is True else "cpu"
    empty = "FakeTensorMode()"
    if training.facts.guarded:
        device, empty = "meta", 'torch.device("meta")'
    else:
        training.run("from torch._subclasses.fake_tensor import FakeTensorMode")
    shapes = ", ".join(repr(each.shape) for each in held.parameters)
    live = ', "lr": lr' if training.facts.number("lr") is not None else ""
    try:
        training.run(
            f"with {empty}:\n"
            f"    made = [torch.ones(s, device='{device}') for s in ({shapes},)]\n"
            "    ps = [torch.nn.Parameter(each) for each in made]\n"
            f"    lr = torch.full((), 0.1, device='{device}')\n"
            f'    optimizer = factory([{{"params": ps{live}}}])\n'
            "    for _ in range(3):\n"
            "        for p in ps:\n"
            "            p.grad = torch.ones_like(p)\n"
            "        optimizer.step()"
        )
    except Raised as error:
        if any(each in error.message for each in _NEEDS_VALUES):
            told = "a step looks at values of tensors, or makes a shape of them"
            raise Violation(told, error.script) from None
        raise Unjudged(
            f"it does not run on tensors without values: {error.message}"
        ) from None


CAPTURABLE = Law(
    name="capturable",
    claim="A step needs no value of a tensor: no `.item()`, no `if` on a tensor, no "
    "shape that depends on data; a live `lr` tensor is used as one.",
    reason="A CUDA graph records kernels, not Python: what was read is frozen into it, "
    "and reading waits for the device in every step.",
    catches="`float(norm)`, `if loss > best`, `grad[mask]`, `alpha=-lr` with a tensor. "
    "A count kept as a Python number is not seen.",
    experiment=capturable,
    corners=(case(MATRIX, (3,)),),
    drawn=Drawn(parameters=(1, 2), steps=(1, 1)),
    relaxed_by=("reads-values",),
    most_drawn=3,
)


def compiled(training: Training, held: Case) -> None:
    """torch.compile(step) steps as step does."""
    if training.facts.by_closure:
        raise Unjudged("a closure is not compiled with the step")
    training.begin(held)
    training.begin(held, "2")
    try:
        training.run("import torch._dynamo")
        training.run("torch._dynamo.reset()")
        # What `torch.compile(step, backend="eager")` does, without the folders that it
        # makes first: traced as for a device, and run without a compiler.
        training.run('compiled = torch._dynamo.optimize("eager")(optimizer2.step)')
    except Died as error:
        raise Unjudged(f"torch cannot compile here: {error}") from None
    for step in range(len(held.gradients)):
        training.give(held, step)
        training.step(held)
        training.give(held, step, "2")
        training.seed()
        training.accuse()
        try:
            training.run("compiled()")
        except Raised as error:
            if any(each in error.message for each in _CANNOT_TRACE):
                raise Unjudged(f"torch cannot compile it: {error.message}") from None
            raise
    one, two = (listed(training.names(held, suffix)) for suffix in ("", "2"))
    training.claim(
        f"all(torch.allclose(p, q, rtol=1e-4, atol=1e-5) "
        f"for p, q in zip(({one}), ({two})))",
        "compiled, it steps otherwise",
    )


COMPILED = Law(
    name="compiled",
    claim="`torch.compile(optimizer.step)` steps as `step` does.",
    reason="A compiled step is several times as fast, and nobody compares it.",
    catches="a branch on `torch.compiler.is_compiling()` that leaves something out; a "
    "number that the trace takes for a constant.",
    experiment=compiled,
    corners=(case(MATRIX, (3,), gradients="steady", steps=4),),
    drawn=Drawn(parameters=(1, 1), steps=(2, 4)),
    most_drawn=1,
)

COMPILING_LAWS = (CAPTURABLE, COMPILED)
