"""Programs written by hand, and the inputs they run on."""

import torch

from dux_sandbox.recorded.program import (
    Guard,
    Input,
    Operation,
    Output,
    Program,
    TensorType,
)
from dux_sandbox.recorded.verifying import Allowed

WEIGHT = TensorType("float32", (4, 3))


class Writing:
    """Writes a program down, value by value."""

    def __init__(self):
        self.inputs, self.operations, self.guards, self.outputs = [], [], [], []

    def read(self, *place, type=WEIGHT):
        self.inputs.append(Input(place, type))
        return len(self.inputs) - 1

    def do(self, name, *arguments, **attributes):
        self.operations.append(Operation(name, arguments, attributes))
        return len(self.inputs) + len(self.operations) - 1

    def number(self, value):
        return self.do("constant", value=value)

    def guard(self, value, expected=True):
        self.guards.append(Guard(value, expected))

    def write(self, value, *place):
        self.outputs.append(Output(place, value))

    def program(self, **more):
        return Program(
            tuple(self.inputs),
            tuple(self.operations),
            tuple(self.guards),
            tuple(self.outputs),
            **more,
        )


def adam():
    """One step of Adam with clipping, over one parameter; guards that it is finite."""
    w = Writing()
    p, g = w.read("parameter", 0), w.read("gradient", 0)
    m, v = w.read("state", 0, "m"), w.read("state", 0, "v")
    t = w.read("state", 0, "step", type="int")
    lr = w.read("option", 0, "lr", type="float")
    beta, one = w.number(0.9), w.number(1)
    square = w.do("pow", g, w.number(2))
    total = w.do("item", w.do("sum", square, dim=None, keepdim=False, dtype=None))
    w.guard(w.do("number.isfinite", total))
    norm = w.do("number.sqrt", total)
    scale = w.do("number.min", w.number(1.0), w.do("number.div", one, norm))
    g = w.do("mul", g, scale)
    t = w.do("number.add", t, one)
    rest = w.do("number.sub", one, beta)
    m = w.do("add", w.do("mul", m, beta), g, rest)
    v = w.do("addcmul", w.do("mul", v, beta), g, g, rest)
    correction = w.do("number.sub", one, w.do("number.pow", beta, t))
    root = w.do("add", w.do("sqrt", w.do("div", v, correction)), w.number(1e-8))
    size = w.do("number.div", w.do("number.neg", lr), correction)
    w.write(w.do("addcdiv", p, m, root, size), "parameter", 0)
    for value, name in ((m, "m"), (v, "v"), (t, "step")):
        w.write(value, "state", 0, name)
    return w.program()


def adam_inputs():
    p, g, m, v = torch.randn(4, 4, 3, generator=torch.Generator().manual_seed(0))
    return [p, g, m, v.abs(), 4, 0.1]


def allowed_for(program, **limits):
    """What the program itself reads and writes."""
    places = {each.place: each.type for each in program.inputs}
    return Allowed(places, dict(places), **limits)
