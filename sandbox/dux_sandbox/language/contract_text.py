"""The contract of a rule in words, as the page on the language has it."""

CONTRACT = """
The last class at the top level that is built on `torch.optim.Optimizer`, or on one of
torch's own optimizers in the table, is the *rule*. It is built as `Rule(params)`, so
every other argument of `__init__` needs a default. Those without get one, each with a
note. A number is what its name says (`lr`, `betas`, `total_steps` ...), or a small one
that the constructor's own checks let through; of what no name tells the uses do: a flag
is off, what is compared with None is None, a mode is the first that it is compared
with, a function of one argument gives it back, and what is walked through beside
`group["params"]` is a copy of each parameter, or its name. So do options that the step
reads of its group and only `**kwargs` would bring, and those that are read of an
object, `cfg.OPTIMIZER.LR`. A `base_optimizer` that is called is `torch.optim.SGD`, as
is an optimizer that is wanted beside `params` or in their place. Where there is no
`params`, but a `muon_params=None` and perhaps an `adamw_params=None`, the first gets
the matrices and the second the others; a group that must have a flag (`use_muon`) gets
it where a matrix is in it, and `named_parameters` are named by their places. It has a
`step(self, closure=None)`, its own or its base's; what else a step wants it gets in the
same way, its rate of the group, and a `loss` of the closure. A class with
`first_step()`, `second_step()` and perhaps a `third_step()`, and no step or one that
only raises, gets a step that calls them in turn, a closure between two, and so does one
with `extrapolation()` and a `step` that goes on from there. Options of a step that has
no `closure` keep their defaults. Of the methods it may override, `step` alone is called
by the training loop; `zero_grad`, `state_dict`, `load_state_dict` and `add_param_group`
of the loop are torch's. Class attributes are read: `carry = True` asks for the state of
the rule before it, where names, shapes and dtypes match; `bfloat16_state = True` keeps
state so between steps, rounded by chance; `requires_closure = True` says that `step`
cannot work without a closure, and so does a closure without a default, or a step that
raises at once, or calls it in any case, without. The closure runs the backward pass:
`backward()` of what it gave is left out, `torch.autograd.grad(loss, params)` of it are
the gradients that it left, and passes that a step runs by itself with a model that it
was handed (`inputs, targets, loss_of, model = self.paras`) are `closure()`.
`torch.autograd.grad([p.grad ...], params, grad_outputs=vectors)` and
`torch.autograd.grad((p.grad * v).sum(), p)`, products of the Hessian and vectors, and
`torch.autograd.grad(sum(p.grad.pow(2).sum() for p in params), params)`, are taken by
central differences of the gradients: such a rule needs a closure, which is evaluated
twice more for each product. A `model` that is asked for `parameters()` or
`named_parameters()` alone is an object that gives them, named by their places. Of a
rule that takes several steps in one, `max_iter` is 8 by default. A rule that moves the
weights before it calls the closure has gradients there before each step. A rule with
`train()` and `eval()` is put in the first mode when it is built, and stays. A loop's
closure is evaluated once in each step, also for a rule that ignores it.

What is nothing to the rule may stand in its file. Left out with a note: decorators that
only speed things up (`torch.compile`, `torch.jit.script`, `functools.lru_cache`), what
stands after the class and is not used by it, `autocast`, statements that write to disk
or stop for a debugger (`torch.save`, `os.makedirs`, `pdb.set_trace`), and settings of
compilers and kernels (`torch._dynamo.config`, `torch.backends`), the seeds that a file
sets, and decorators that register a class; a variable of the environment is read as
unset, and a clock as 0. So is what would be refused and no step comes to: a branch that
an option decides and its default does not take, a method that nobody names, a
`zero_grad`, `state_dict` or `__setstate__` in place of torch's, and definitions and
imports that only those use. Read as where rules run: `try: import ... except
ImportError:`, `if TYPE_CHECKING:`, version strings, `torch._six`, which torch had once.
`out=` copies into a tensor of the same shape and dtype. Warnings and log messages go
nowhere.

Tensors are written in place (`p.add_(...)`, `p.data.mul_(...)`). `p.data = x` and
`p.grad = x` copy the values of a tensor of the same shape and dtype. Gradients are
dense: a sparse one is handed over as a dense copy. Values of groups and of `self.state`
are numbers, strings, booleans, None, tensors, and lists, tuples and dicts of them. What
holds tensors in a group, and a function that is the default of an option, is the rule's
alone. `group["lr"]` is a finite number, or a real, finite tensor of no dimensions that
shares its memory with nothing; a rule that is built with None works its rate out by
itself. `x.unsqueeze_(0)` and its kin, of a function's own variable that was computed
there, bind the name to a view. What a rule writes on parameters, `p.mine = x`, is kept
in a dict of its own, by parameter. Of a class on `torch.nn.Module` that keeps no
parameters `forward` alone is called, and it is a plain class. `global` is for variables
that the module assigns to; they are not saved. `self.__x` is `self._Rule_x` in a class
`Rule`. A mark that a training may put on parameters is not there: `getattr(p, "mask",
None)` is None.
""".strip()
