"""Recorded execution: what one step of a rule does, as data that can be looked at.

A child process runs the rule once on tensors without values and writes down what it
did; the trainer verifies that `program.Program`, and runs it step after step with no
line of generated code in its process.

The shape of a program (`program`): a straight line in single assignment. Value number
`n` is input `n`, or the result of operation `n - len(inputs)`. A value is a tensor
(`TensorType`: dtype and shape), several tensors (`TupleType`, of `eigh` and its like;
`part` takes one), or one of Python's numbers ("float", "int", "bool"). Inputs name
their place: ("parameter", i), ("gradient", i), ("state", i, key...), ("attribute",
name...), ("option", group, name...), ("loss",). Numbers are inputs too - options, step
counts, all that the rule counts in Python - so that a program lasts while they change.

Every operation is one row of `operations.TABLE`: the letters of its arguments (T a
tensor, N a number, A either, a star for more of the last), the attributes with their
kinds, its room ("elementwise", "reduction", "shape", "making", "matrix", "number"), and
its meaning in plain torch or plain Python. The type of a result is what torch says of
tensors on the meta device (`typing_of.result_of`).

Nothing is written before the end: a program reads everything as it was when the step
began, checks its guards (numbers that must have come out as they did when the program
was recorded: a branch of the rule), and only then puts each output in its place, all at
once. A guard that does not hold raises `interpreting.GuardFailed`, and nothing has
changed. `structure` is there when the step changes more than values: the whole of what
the rule keeps afterwards, with the number of a value at each leaf.

`json_form` turns programs into JSON and back, `verifying.verify` accepts or refuses
any program that arrives, `interpreting.interpret` defines its meaning, and
`printing.printed` shows it.
"""
