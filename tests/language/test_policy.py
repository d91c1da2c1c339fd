"""The language policy: every node decided, every hostile form refused by reading."""

from __future__ import annotations

import ast
import sys

import pytest

from dux_sandbox.language.bindings import Bindings
from dux_sandbox.language.decisions import GUARDED, PLAIN, REFUSED
from dux_sandbox.language.flow import Flow
from dux_sandbox.language.policy import HANDLERS, Policy
from dux_sandbox.loading import load
from dux_sandbox.static_check import check
from tests.rule_sources import one_parameter, rule

# Every kind of node of Python 3.11, abstract classes and names kept for old code apart.
NODES_311 = """
Add And AnnAssign Assert Assign AsyncFor AsyncFunctionDef AsyncWith Attribute AugAssign
Await BinOp BitAnd BitOr BitXor BoolOp Break Call ClassDef Compare Constant Continue
Del Delete Dict DictComp Div Eq ExceptHandler Expr Expression FloorDiv For
FormattedValue FunctionDef FunctionType GeneratorExp Global Gt GtE If IfExp Import
ImportFrom In Interactive Invert Is IsNot JoinedStr LShift Lambda List ListComp Load Lt
LtE MatMult Match MatchAs MatchClass MatchMapping MatchOr MatchSequence MatchSingleton
MatchStar MatchValue Mod Module Mult Name NamedExpr Nonlocal Not NotEq NotIn Or Pass
Pow RShift Raise Return Set SetComp Slice Starred Store Sub Subscript Try TryStar Tuple
TypeIgnore UAdd USub UnaryOp While With Yield YieldFrom alias arg arguments
comprehension keyword match_case withitem
""".split()
NODES = {
    (3, 11): NODES_311,
    (3, 12): [*NODES_311, "ParamSpec", "TypeAlias", "TypeVar", "TypeVarTuple"],
    (3, 13): [*NODES_311, "ParamSpec", "TypeAlias", "TypeVar", "TypeVarTuple"],
}
_ABSTRACT = set(
    """AST boolop cmpop excepthandler expr expr_context mod operator pattern slice stmt
    type_ignore type_param unaryop""".split()
)
# Names that 3.11 to 3.13 keep for old code; the parser makes none of them.
_OLD = set(
    "AugLoad AugStore Bytes Ellipsis ExtSlice Index NameConstant Num Param Str Suite "
    "NodeVisitor NodeTransformer".split()
)


def _nodes_of_this_python() -> set[str]:
    return (
        {
            name
            for name, value in vars(ast).items()
            if name[0] != "_" and isinstance(value, type) and issubclass(value, ast.AST)
        }
        - _ABSTRACT
        - _OLD
    )


@pytest.mark.parametrize("version", sorted(NODES))
def test_every_node_of_a_supported_python_is_decided_once(
    version: tuple[int, int],
) -> None:
    decided = [*PLAIN, *GUARDED, *REFUSED]

    assert set(NODES[version]) <= set(decided)
    assert len(decided) == len(set(decided))


@pytest.mark.skipif(sys.version_info[:2] not in NODES, reason="a list for 3.11 to 3.13")
def test_the_lists_are_those_of_the_running_python() -> None:
    assert set(NODES[sys.version_info[:2]]) == _nodes_of_this_python()


def test_a_node_that_nobody_decided_on_is_refused() -> None:
    class Novelty(ast.stmt):
        pass

    policy = Policy(Bindings(), Flow())
    tree = ast.Module([Novelty(lineno=1, col_offset=0)], [])

    policy.visit(tree)

    assert ["the unknown syntax Novelty"] == [f.message for f in policy.findings]


def test_every_guarded_node_has_a_visitor_of_our_own() -> None:
    assert set(HANDLERS) >= GUARDED


# Hostile forms, by kind. Each stands in `step` of an otherwise honest rule and must be
# refused by reading alone.
IN_STEP = {
    # Python's own doors
    "class": "p.__class__",
    "mro": "().__class__.__mro__",
    "subclasses": "object.__subclasses__()",
    "globals_of_method": "self.step.__globals__",
    "func_of_method": "self.step.__func__",
    "code": "(lambda: 0).__code__",
    "closure_cells": "closure.__closure__",
    "dict_of_tensor": "torch.Tensor.__dict__",
    "dict_of_self": "self.__dict__['param_groups'] = []",
    "reduce": "p.__reduce_ex__(2)",
    "init_globals": "self.__init__.__globals__",
    "module_of": "self.__module__",
    "no_grad_class": "torch.no_grad.__class__",
    "super_self": "super().__self_class__",
    "super_this": "super().__thisclass__",
    "traceback": "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__",
    "context": "try:\n    1/0\nexcept Exception as e:\n    e.__context__",
    "cause": "try:\n    1/0\nexcept Exception as e:\n    e.__cause__",
    "with_traceback": "try:\n    1/0\nexcept Exception as e:\n    e.with_traceback",
    "error_object": "try:\n    p.nothing\nexcept Exception as e:\n    e.obj",
    "add_note": "try:\n    1/0\nexcept Exception as e:\n    e.add_note('x')",
    "gi_frame": "(x for x in []).gi_frame",
    "gi_code": "(x for x in []).gi_code",
    "gi_yieldfrom": "(x for x in []).gi_yieldfrom",
    "send": "(x for x in []).send(None)",
    "throw": "(x for x in []).throw(ValueError)",
    "f_back": "p.f_back",
    "tb_frame": "p.tb_frame",
    "cr_frame": "p.cr_frame",
    "ag_frame": "p.ag_frame",
    "fget": "property(lambda s: 0).fget",
    "staticmethod_func": "staticmethod(len).__func__",
    "wrapped": "self.step.__wrapped__",
    "partial_func": "import functools\nfunctools.partial(len).func",
    "self_of_builtin": "len.__self__",
    "doc": "p.__doc__",
    "mangled_read": "self.__secret",
    # builtins
    "eval": "eval('1')",
    "exec": "exec('1')",
    "compile": "compile('1', '', 'eval')",
    "open": "open('/tmp/x')",
    "input": "input()",
    "breakpoint": "breakpoint()",
    "vars": "vars(self)",
    "dir": "dir(self)",
    "locals": "locals()",
    "globals": "globals()",
    "delattr": "delattr(self, 't')",
    "memoryview": "memoryview(p)",
    "bytearray": "bytearray(10)",
    "bytes": "bytes(10)",
    "bytes_literal": "b'abc'",
    "import_call": "__import__('os')",
    "build_class": "__build_class__",
    "builtins": "__builtins__",
    "loader": "__loader__",
    "spec": "__spec__",
    "file": "__file__",
    "class_cell": "__class__",
    "exit": "exit()",
    "quit": "quit()",
    "help": "help()",
    "system_exit": "raise SystemExit(0)",
    "keyboard_interrupt": "raise KeyboardInterrupt",
    "generator_exit": "raise GeneratorExit",
    "base_exception": "try:\n    pass\nexcept BaseException:\n    pass",
    "three_argument_type": "type('X', (), {})",
    "type_star": "type(*['X', (), {}])",
    "endless_iter": "iter(int, 1)",
    "getattr_dunder": "getattr(self, '__class__')",
    "hasattr_dunder": "hasattr(self, '__class__')",
    "setattr_dunder": "setattr(self, '__class__', int)",
    # imports and modules
    "import_os": "import os",
    "import_as": "import os.path as math_",
    "from_os": "from os import system",
    "star": "from torch import *",
    "relative": "from . import x",
    "relative_package": "from ..torch import x",
    "import_ctypes": "import ctypes",
    "import_importlib": "import importlib",
    "import_operator": "import operator",
    "import_string": "import string",
    "import_types": "import types",
    "import_numpy": "import numpy as np",
    "import_builtins": "import builtins",
    "import_gc": "import gc",
    "import_inspect": "import inspect",
    "import_hub": "import torch.hub",
    "import_c": "import torch._C",
    "from_c": "from torch import _C",
    "torch_os": "torch.os.system('x')",
    "torch_sys": "torch.sys",
    "torch_load": "torch.load('x')",
    "torch_from_file": "torch.from_file('x')",
    "torch_ops": "torch.ops.load_library('x')",
    "torch_classes": "torch.classes.load_library('x')",
    "torch_utils": "torch.utils.cpp_extension",
    "torch_library": "torch.library.Library('aten', 'IMPL')",
    "torch_storage": "torch.UntypedStorage(4)",
    "torch_multiprocessing": "torch.multiprocessing.spawn(len)",
    "torch_distributed": "torch.distributed.TCPStore('x', 1)",
    "torch_hub": "torch.hub.load('x', 'y')",
    "torch_frombuffer": "torch.frombuffer(p)",
    "torch_from_numpy": "torch.from_numpy(p)",
    "functional_torch": "F.torch",
    "functional_importlib": "F.importlib",
    "math_loader": "math.__loader__",
    "alias_of_torch": "t = torch\nt.os.system('x')",
    "typing_hints": "import typing\ntyping.get_type_hints(self.step)",
    "itertools_count": "import itertools\nitertools.count()",
    "itertools_product": "from itertools import product",
    # tensors
    "numpy": "p.numpy().tofile('x')",
    "tofile": "p.tofile('x')",
    "data_ptr": "p.data_ptr()",
    "storage": "p.storage()",
    "untyped_storage": "p.untyped_storage().resize_(0)",
    "set_": "p.set_(p)",
    "resize_": "p.data.resize_(3)",
    "resize_as_": "p.resize_as_(p)",
    "resize_as_of_a_result": "torch.zeros(1).resize_as_(p)",
    "resize_as_of_a_new_one": "x = p.new()\nx.resize_as_(p)",
    "as_strided": "p.as_strided((9,), (1,))",
    "register_hook": "p.register_hook(print)",
    "post_accumulate": "p.register_post_accumulate_grad_hook(print)",
    "apply_": "p.apply_(len)",
    "map_": "p.map_(p, len)",
    "backward": "p.sum().backward()",
    "grad_fn": "p.grad_fn",
    "names": "p.names",
    "requires_grad_": "p.requires_grad_(False)",
    "requires_grad": "p.requires_grad = False",
    "grad_none": "p.grad = None",
    "t_": "p.t_()",
    "squeeze_": "p.squeeze_()",
    "transpose_": "p.data.transpose_(0, 1)",
    "unsqueeze_": "p.unsqueeze_(0)",
    "share_memory_": "p.share_memory_()",
    "pin_memory": "p.pin_memory()",
    "record_stream": "p.record_stream(None)",
    "retain_grad": "p.retain_grad()",
    "as_subclass": "p.as_subclass(torch.Tensor)",
    "module_load": "p.module_load(p)",
    "out_in_partial": "import functools\nfunctools.partial(torch.add, out=p)",
    "torch_function": "torch.Tensor.__torch_function__",
    "array_interface": "p.__array_interface__",
    "dlpack": "p.__dlpack__()",
    # global modes
    "set_grad_enabled": "torch.set_grad_enabled(False)",
    "inference_mode": "torch.inference_mode()",
    "manual_seed": "torch.cuda.manual_seed(0)",
    "manual_seed_aliased": "seed = torch.manual_seed\nseed(0)",
    "set_default_dtype": "torch.set_default_dtype(torch.float64)",
    "set_default_device": "torch.set_default_device('meta')",
    "set_num_threads": "torch.set_num_threads(1)",
    "set_rng_state": "torch.set_rng_state(p)",
    "deterministic": "torch.use_deterministic_algorithms(True)",
    "printoptions": "torch.set_printoptions(precision=1)",
    "anomaly": "torch.autograd.set_detect_anomaly(True)",
    # the optimizer's own
    "groups_replaced": "self.param_groups = []",
    "state_replaced": "self.state = {}",
    "defaults_replaced": "self.defaults = {}",
    "hooks_written": "self._optimizer_step_pre_hooks = {}",
    "hooks_read": "self._optimizer_step_pre_hooks",
    "pre_hook": "self.register_step_pre_hook(print)",
    "post_hook": "self.register_step_post_hook(print)",
    "state_hook": "self.register_state_dict_pre_hook(print)",
    "profile_hook": "self.profile_hook_step(print)",
    "patch_step": "self._patch_step_function()",
    "source_rewritten": "self.dux_source = ''",
    "digest_rewritten": "self.dux_digest = ''",
    "step_replaced": "self.step = len",
    "init_group": "self._init_group(group)",
    "module_written": "torch.zeros = len",
    "delete_groups": "del self.param_groups",
    # shadowed guards, in every binding position
    "shadow_assign": "_getattr_ = getattr",
    "shadow_ann": "_write_: int = 1",
    "shadow_aug": "_inplacevar_ += 1",
    "shadow_for": "for _getiter_ in []:\n    pass",
    "shadow_tuple": "a, (_write_, b) = 1, (2, 3)",
    "shadow_starred": "a, *_write_ = [1]",
    "shadow_comprehension": "[0 for _getattr_ in []]",
    "shadow_generator": "(0 for a, _write_ in [])",
    "shadow_walrus": "(_getattr_ := len)",
    "shadow_walrus_in_comprehension": "[(_getattr_ := x) for x in []]",
    "shadow_with": "with torch.no_grad() as _write_:\n    pass",
    "shadow_except": "try:\n    pass\nexcept Exception as _write_:\n    pass",
    "shadow_import": "import torch as _getattr_",
    "shadow_from": "from torch import nn as _write_",
    "shadow_def": "def _getattr_(o, n):\n    pass",
    "shadow_class": "class _getattr_:\n    pass",
    "shadow_argument": "def f(_getattr_):\n    pass",
    "shadow_default": "def f(_getattr_=len):\n    pass",
    "shadow_keyword_only": "def f(*, _getattr_):\n    pass",
    "shadow_positional_only": "def f(_getattr_, /):\n    pass",
    "shadow_star_argument": "def f(*_getattr_):\n    pass",
    "shadow_keywords": "def f(**_getattr_):\n    pass",
    "shadow_lambda": "lambda _getattr_, /: 0",
    "shadow_lambda_star": "lambda *_write_: 0",
    "shadow_match": "match p:\n    case _getattr_:\n        pass",
    "shadow_match_star": "match p:\n    case [*_getattr_]:\n        pass",
    "shadow_match_as": "match p:\n    case 1 as _getattr_:\n        pass",
    "shadow_match_rest": "match p:\n    case {**_getattr_}:\n        pass",
    "shadow_nonlocal": "def f():\n    nonlocal _getattr_",
    "shadow_global": "global _getattr_",
    "shadow_delete": "del _getattr_",
    "shadow_metaclass": "__metaclass__ = type",
    "shadow_build_class": "def __build_class__():\n    pass",
    # syntax
    "async_def": "async def f():\n    pass",
    "global": "global counter",
    "match_class": "match p:\n    case object(__class__=c):\n        pass",
    "match_builtin": "match p:\n    case int(x):\n        pass",
    "match_dotted": "match p:\n    case torch.os:\n        pass",
    "match_key": "match p:\n    case {torch.os: 1}:\n        pass",
    "except_star": "try:\n    pass\nexcept* ValueError:\n    pass",
    "finally_continue": "while self.t:\n    try:\n        x = 1\n"
    "    finally:\n        continue",
    "finally_return": "try:\n    x = 1\nfinally:\n    return 1",
    "finally_break": "for i in [1]:\n    try:\n        x = 1\n"
    "    finally:\n        if p:\n            break",
    "yield_in_with": "def g():\n    with torch.no_grad():\n        yield 1\nnext(g())",
    "yield_from_in_with": "def g():\n    with torch.no_grad():\n        yield from []",
    "with_pattern": "with torch.no_grad() as (a, b):\n    pass",
    "endless": "while True:\n    pass",
    "endless_one": "while 1:\n    x = 1",
    "endless_continue": "while self.t > 20:\n    continue",
    "endless_text": "while 'x':\n    for i in [1]:\n        break",
    "annotation_call": "x: torch.zeros(1) = 1",
    "annotation_lambda": "def f(x: (lambda: 0)()) -> int:\n    pass",
    "annotation_walrus": "def f(x) -> (y := 1):\n    pass",
    "annotation_star": "def f(*args: len(())):\n    pass",
    "decorator": "@torch.library.custom_op\ndef f(x):\n    return x",
    "decorator_walrus": "@(_getattr_ := len)\ndef f(x):\n    return x",
    "default_argument": "def f(x=torch.os):\n    return x",
    "lambda_default": "lambda x=p.__class__: 0",
    "class_keyword": "class A(metaclass=type):\n    pass",
    "class_option": "class A(x=1):\n    pass",
    "class_decorator": "@print\nclass A:\n    pass",
    "class_star": "class A(*[object]):\n    pass",
    "class_call": "class A(type(p)):\n    pass",
    "subclass_dict": "class A(dict):\n    pass",
    "subclass_list": "class A(list):\n    pass",
    "subclass_str": "class A(str):\n    pass",
    "subclass_int": "class A(int):\n    pass",
    "subclass_error": "class A(Exception):\n    pass",
    "subclass_tensor": "class A(torch.Tensor):\n    pass",
    "subclass_parameter": "class A(torch.nn.Parameter):\n    pass",
    "subclass_module": "class A(torch.nn.Module):\n    pass",
    "subclass_no_grad": "class A(torch.no_grad):\n    pass",
    "subclass_generator": "class A(torch.Generator):\n    pass",
    # sizes
    "big_power": "10 ** 100000",
    "big_shift": "1 << 10 ** 9",
    "big_text": "'x' * 2 ** 31",
    "big_list": "[0] * 10 ** 9",
    "big_tuple": "10 ** 9 * (0,)",
    "big_range": "list(range(10 ** 9))",
    "big_literal": "1" + "0" * 100,
    "big_zeros": "torch.zeros(10 ** 6, 10 ** 6)",
    "big_shape": "torch.ones((100000, 100000))",
    "big_eye": "torch.eye(100000, 100000)",
    "big_expand": "p.expand(10 ** 11)",
    "big_repeat": "p.repeat(10 ** 6, 10 ** 6)",
    "big_one_hot": "F.one_hot(p, 10 ** 12)",
    # formats
    "format_attribute": "'{0.__class__}'.format(p)",
    "format_item": "'{0[0]}'.format(p)",
    "format_map": "'{x}'.format_map({})",
    "format_variable": "s = '{}'\ns.format(p)",
    "format_unbound": "str.format('{}', p)",
    "format_method": "f = '{}'.format",
    "format_nested": "'{:{}}'.format(1, 10)",
    "format_width": "'{:>99999}'.format(1)",
    "fstring_width": "f'{1:>99999}'",
    "fstring_computed": "f'{1:>{10 ** 11}}'",
    "fstring_attribute": "f'{p.__class__}'",
    "fstring_call": "f'{open(1)}'",
    "fstring_debug": "f'{p.__dict__=}'",
    "fstring_conversion": "f'{p.__class__!r}'",
    "encode": "'x'.encode()",
    "translate": "'x'.translate({})",
    "expandtabs": "'x'.expandtabs(10 ** 9)",
    # What words that are taken out or written out might let in.
    "untrained_call": "p.requires_grad_(False)",
    "untrained_star": "p.requires_grad_(*[False])",
    "untrained_options": "p.requires_grad_(**{'requires_grad': False})",
    "untrained_by_loop": "for p.requires_grad in [False]:\n    pass",
    "untrained_annotated": "p.requires_grad: bool = False",
    "untrained_in_a_tuple": "p.requires_grad, q = True, 1",
    "trained_then_hooked": "p.requires_grad_().register_hook(print)",
    "graph_behind_none": "p.grad_fn is None\np.grad_fn.next_functions",
    "face_by_name": "model_of([p])",
    "face_globals": "ModelFace.__init__.__globals__",
    "defaults_later": "self.defaults = {}",
    "sensors_kept": "setattr(self, '__sensors__', {})",
    "rounding_read": "self.dux_rounding.set_state(p)",
    "autograd_function": "torch.autograd.Function",
    "autograd_hessian": "torch.autograd.functional.hessian(closure, p)",
}


@pytest.mark.parametrize("name", sorted(IN_STEP))
def test_a_hostile_form_is_refused_by_reading(name: str) -> None:
    report = check(rule(IN_STEP[name]))

    assert not report.ok
    assert report.findings
    assert "internal" not in {finding.rule for finding in report.findings}
    assert all(finding.instead for finding in report.findings)


METHODS = {
    name: f"def {name}(self, *args):\n    return None"
    for name in """__new__ __del__ __getattr__ __getattribute__ __setattr__ __iter__
    __next__ __len__ __getitem__ __setitem__ __contains__ __eq__ __hash__ __bool__
    __format__ __reduce__ __reduce_ex__ __getstate__ __enter__ __exit__
    __init_subclass__ __class_getitem__ __set_name__ __get__ __set__ __delete__
    __prepare__ __instancecheck__ __subclasshook__ __mro_entries__ __dir__ __sizeof__
    __deepcopy__ __copy__ __torch_function__ __array__ __index__ __float__ __int__
    __add__ __radd__ __iadd__ __lt__ __await__ __aiter__ __buffer__ __bytes__
    register_step_pre_hook register_state_dict_post_hook profile_hook_step
    _patch_step_function _optimizer_step_code""".split()
}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_that_others_would_call_is_refused(name: str) -> None:
    on_the_rule = check(rule(methods=METHODS[name]))
    nested = METHODS[name].replace("\n", "\n    ")
    on_a_helper = check(rule(top=f"class Helper:\n    {nested}"))

    assert not on_the_rule.ok
    if name.startswith("__"):
        assert not on_a_helper.ok


TOP_LEVEL = {
    "class_attribute": "class A:\n    hook = torch.Tensor.register_hook",
    "class_dict": "class A:\n    __dict__ = {}",
    "class_cell": "class A:\n    __class__ = int",
    "name_of_hook": "x = 1\nclass A(torch.optim.SGD):\n    param_groups = []",
    "posonly_lambda": "run = lambda _write_, /: 0",
    "module_getattr": "def __getattr__(name):\n    pass",
    "call_at_import": "torch.os.system('x')",
    "class_body_call": "class A:\n    torch.os.system('x')",
    "metaclass": "__metaclass__ = type",
}


@pytest.mark.parametrize("name", sorted(TOP_LEVEL))
def test_a_hostile_top_level_is_refused_by_reading(name: str) -> None:
    report = check(rule(top=TOP_LEVEL[name]))

    assert not report.ok


# Ordinary forms that models write: refusing one would be a fault of the policy.
ALLOWED = {
    "augmented": "self.t += 1\ngroup['lr'] *= 0.5\nself.state[p]['n'] = 0",
    "annotated": "x: int = 1\ny: float\nself.t: int = 2",
    "private": "self._hidden = 1\nself._hidden += 1",
    "walrus": "if (n := p.numel()) > 1:\n    n += 1",
    "chained": "a = b = self.state[p]['x'] = torch.zeros_like(p)",
    "unpacking": "(a, b), c = (1, 2), 3\nd, *e = [1, 2, 3]",
    "swapping": "a, b = 1, 2\na, b = b, a",
    "nested_function": "def f(x, /, y=1, *args, z=2, **kw):\n    return x\nf(1)",
    "lambda": "f = lambda x, y=2: x + y\nf(1)",
    "comprehensions": "[x for x in [1] if x]\n{x for x in [1]}\n{x: y for x, y in []}",
    "generator": "def g():\n    for x in [1]:\n        yield x\nlist(g())",
    "nonlocal": "n = 0\ndef f():\n    nonlocal n\n    n += 1\nf()",
    "try": "try:\n    x = 1\nexcept (ValueError, TypeError) as e:\n    str(e)\n"
    "finally:\n    x = 2",
    "bare_except": "try:\n    x = 1\nexcept:\n    x = 2",
    "match": "match p.ndim:\n    case 2:\n        x = 1\n    case -1 | 0:\n"
    "        x = 2\n    case _:\n        x = 3",
    "formats": "f'{p.ndim:3d} {0.5:.3e} {p.shape!r}'\n'{} {x:.2f}'.format(1, x=2.0)",
    "percent": "'%d of %.2f' % (1, 2.0)",
    "raise": "if self.t < 0:\n    raise ValueError(f'bad: {self.t}') from None",
    "assert": "assert p.ndim >= 0, 'bad'",
    "print": "print('x', self.t)",
    "class_name": "self.__class__.__name__\ntype(p).__name__",
    "isinstance": "isinstance(p, torch.Tensor)\nisinstance(1, (int, float, list))",
    "type": "type(p) is torch.nn.Parameter\ntype(1) == int",
    "getattr": "getattr(self, 't', 0)\nhasattr(p, 'grad')\nsetattr(self, 'u', 1)",
    "delete": "self.u = 1\ndel self.u\nd = {1: 2}\ndel d[1]\ndel d",
    "star_call": "torch.zeros(*p.shape, **{'dtype': p.dtype})",
    "foreach": "ps = [p.data]\ntorch._foreach_mul_(ps, 0.5)\ntorch._foreach_norm(ps)",
    "linalg": "torch.linalg.svdvals(p)\ntorch.linalg.qr(p).Q\n(p @ p.T).diagonal()",
    "indexing": "p[0]\np[:, None]\np[..., -1]\nm = p > 0\nx = p.clone()\nx[m] = 0.0",
    "while": "n = 0\nwhile n < 3:\n    n += 1",
    "while_true": "while True:\n    break",
    "local_import": "import math as m\nm.sqrt(2.0)",
    "functional": "F.softplus(p)\nF.normalize(p, dim=0)",
    "factories": "torch.eye(3)\ntorch.full((2,), 1.0)\ntorch.tensor([1.0, 2.0])",
    "containers": "d = defaultdict(list)\nd['x'].append(1)\nq = deque(maxlen=3)\n"
    "q.append(1)",
    "conditional": "x = 1 if p.ndim > 1 else 2\ny = not x or (x and 2)",
    "inner_optimizer": "inner = torch.optim.SGD([p], lr=0.1)\ninner.step()",
    "grad_mode": "with torch.enable_grad():\n    x = p.sum()",
    "data": "p.data = p.data * 0.9\np.data.mul_(1.0)\np.grad.data.clamp_(-1, 1)",
    "static": "Rule.helper(2)",
}


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_an_ordinary_form_is_accepted_and_runs(name: str) -> None:
    helper = "@staticmethod\ndef helper(x):\n    return x"
    source = rule(ALLOWED[name], methods=helper)

    assert () == check(source).findings
    load(source)([one_parameter()]).step()


ACCEPTED_TOPS = {
    "future": "from __future__ import annotations",
    "typing": "from typing import Any, Callable, Optional, Union, TypeVar\n"
    "T = TypeVar('T')\nParams = Union[list[Any], dict[str, Any]]\nA = Optional[int]",
    "abc": "from collections.abc import Iterable",
    "optimizer": "from torch.optim.optimizer import Optimizer, ParamsT",
    "nn": "from torch import nn, Tensor\nfrom torch.nn import functional",
    "all": "__all__ = ['Rule']",
    "main": "if __name__ == '__main__':\n    import os\n    open('x')",
    "helper": "class Schedule:\n    def __init__(self, n: int = 1):\n"
    "        self.n = n\n"
    "    def __call__(self, t):\n        return t / self.n\n"
    "    def __repr__(self):\n        return 'Schedule'\n"
    "    @property\n    def half(self):\n        return self.n / 2",
    "inheritance": "class Base(torch.optim.Optimizer):\n    def help(self):\n"
    "        return 1\nclass Child(Base):\n    def help(self):\n"
    "        return super().help()",
    "decorated": "@torch.no_grad()\ndef f(x):\n    return x\n"
    "@torch.no_grad\ndef g(x):\n    return x",
    "own_decorator": "def twice(f):\n    def g(*a, **k):\n        return f(*a, **k)\n"
    "    return g\n@twice\ndef h(x):\n    return x\nh(1)",
}


@pytest.mark.parametrize("name", sorted(ACCEPTED_TOPS))
def test_an_ordinary_top_level_is_accepted_and_runs(name: str) -> None:
    source = rule(top=ACCEPTED_TOPS[name])
    if name == "future":
        source = ACCEPTED_TOPS[name] + "\n" + rule()

    assert () == check(source).findings
    load(source)([one_parameter()]).step()
