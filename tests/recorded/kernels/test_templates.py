"""Each operation of the kernels, held against torch to the last bit."""

import pytest
import torch

from dux_sandbox.recorded.interpreting import interpret
from dux_sandbox.recorded.kernels.compiling import fuse
from dux_sandbox.recorded.kernels.fusing import fused_form, types_of
from dux_sandbox.recorded.kernels.targets import CPU
from dux_sandbox.recorded.kernels.templates import CALLS, TEMPLATES
from dux_sandbox.recorded.operations import TABLE
from dux_sandbox.recorded.program import TensorType
from tests.recorded.programs import Writing

ELEMENTS = 2048  # torch's loops end evenly: no rest of a vector
NOT_TO_THE_BIT = {
    # torch's square root is off by one unit in the last place now and then.
    **dict.fromkeys(["sqrt", "pow 0.5"], 0.25),
    # MKL and Sleef share these between them in a way of their own.
    **dict.fromkeys(["log2", "log10", "pow -0.5", "fmax", "fmin", "sigmoid"], 0.02),
}
NUMBERS = [-0.3333333, 0.1234567]  # turned about, the bounds of a clamp are empty
ATTRIBUTES = {"to": {"dtype": "bfloat16"}, "expand": {"size": [ELEMENTS]}}
NAMES = sorted(name for name in {*TEMPLATES, *CALLS} if " " not in name)


def numbers_of_all_kinds(dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(ELEMENTS, dtype=torch.float64, generator=generator)
    made *= 10 ** (torch.rand(ELEMENTS, generator=generator) * 8 - 6)
    odd = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-42, 3e38, *map(float, ("inf", "nan"))]
    places = torch.randint(ELEMENTS, (400,), generator=generator)
    made[places] = torch.tensor(odd * 40, dtype=torch.float64)
    return made.to(dtype)


def arguments_of(name):
    """The letters of each way in which an operation is called."""
    row = TABLE[name]
    for left_out in range(row.optional + 1):
        letters = row.signature[: len(row.signature) - left_out]
        yield letters.replace("A", "T")
        if "A" in letters and letters[0] == "T":
            yield letters.replace("A", "N")


def every_operation(dtype, target=CPU):
    """A program of all of them, each result an output, and the names of those."""
    writing, names, inputs = Writing(), [], []
    kind = TensorType(dtype, (ELEMENTS,))
    mask = TensorType("bool", (ELEMENTS,))
    tensors = [writing.read("state", at, type=kind) for at in range(3)]
    masks = [writing.read("state", at, type=mask) for at in (3, 4)]
    for at in range(3):
        inputs.append(numbers_of_all_kinds(getattr(torch, dtype), at))
    inputs[2] = inputs[2].nan_to_num(0.3, 1.0, -1.0)  # a weight of lerp
    inputs += [inputs[0] > 0, inputs[1] > 0]
    numbers = [writing.read("option", 0, at, type="float") for at in ("a", "b")]
    inputs += NUMBERS
    exponents = [2.0, 3.0, 0.5, -0.5, -1.0, -2.0, 0.0, 1.0, 1.5]
    calls = [(name, each) for name in NAMES for each in arguments_of(name)]
    for name, letters in calls:
        on_masks = name.startswith("bitwise")
        if name == "pow" and letters == "TN" or name == "full":
            continue
        given, left = [], list(numbers)
        for at, letter in enumerate(letters):
            is_mask = (name, at) in (("where", 0), ("masked_fill", 1)) or on_masks
            if letter == "N":
                given.append(left.pop(0))
            else:
                given.append((masks if is_mask else tensors)[at % (3 - is_mask)])
        try_one(writing, target, names, name, given, ATTRIBUTES.get(name, {}))
    for instead in ({"nan": 0.1, "posinf": None, "neginf": -3.0}, {}):
        attributes = dict.fromkeys(("nan", "posinf", "neginf")) | instead
        try_one(writing, target, names, "nan_to_num", [tensors[0]], attributes)
    for exponent in exponents:
        number = writing.number(exponent)
        try_one(writing, target, names, "pow", [tensors[0], number], {}, exponent)
    return writing.program(), names, inputs


def try_one(writing, target, names, name, given, attributes, exponent=""):
    """Write it down if a kernel does it."""
    before = len(writing.operations)
    value = writing.do(name, *given, **attributes)
    program = writing.program()
    try:
        fused = fused_form(program, types_of(program), value, target)
    except RuntimeError:
        fused = None  # torch has it not for this dtype
    if fused is None:
        del writing.operations[before:]
        return
    writing.write(value, "state", 100 + len(names))
    names.append(f"{name} {exponent}".strip())


@pytest.mark.parametrize("numbers", [NUMBERS, NUMBERS[::-1]])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
def test_every_template_gives_what_torch_gives(dtype, numbers):
    program, names, inputs = every_operation(dtype)
    inputs[-2:] = numbers
    wanted = interpret(program, inputs)

    got = fuse(program).run(inputs)

    assert len(names) > 80
    for name, output, made in zip(names, program.outputs, got, strict=False):
        want = wanted[output.value]
        differ = ~((made == want) | (made.isnan() & want.isnan()))
        part = float(differ.double().mean())
        assert part <= NOT_TO_THE_BIT.get(name, 0.0), (name, part)
        if want.is_floating_point():
            apart, step = (made - want).abs()[differ], torch.finfo(want.dtype).eps
            assert bool((apart <= 4 * step * want[differ].abs()).all()), name
