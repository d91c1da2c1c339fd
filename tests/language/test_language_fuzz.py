"""Random programs and random texts: the judge never raises, the guards never leak."""

from __future__ import annotations

import ast
import sys
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dux_sandbox.findings import SourceRejected
from dux_sandbox.language import python_names, torch_names, vocabulary
from dux_sandbox.language.bindings import collect
from dux_sandbox.language.flow import flow_of
from dux_sandbox.language.policy import Policy
from dux_sandbox.loading import load
from dux_sandbox.runtime.guards import Guards
from dux_sandbox.static_check import check
from tests.rule_sources import corpus, one_parameter, rule

RELAXED = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)

# A mix of what is allowed, of what is not, and of what only some type allows.
FORBIDDEN = """__class__ __dict__ __globals__ __code__ __func__ __self__ __mro__
__bases__ __subclasses__ __init__ __setstate__ __reduce__ gi_frame f_back f_globals
tb_frame fget format format_map numpy tofile data_ptr untyped_storage set_ resize_
register_hook
grad_fn backward os sys system open register_step_pre_hook _optimizer_step_pre_hooks
profile_hook_step _patch_step_function mro with_traceback encode _read _contents _kind
_make _guards _target dux_source""".split()
ALLOWED = """grad data shape add_ mul sqrt norm sum item append get keys update copy pop
values join replace split param_groups state defaults step state_dict t zeros_like
zeros sign linalg nn functional optim SGD real count index indices Q start args bound
helper""".split()
ATTRIBUTES = st.sampled_from(FORBIDDEN + ALLOWED)
NAMES = st.sampled_from(
    """p self group torch math F deque defaultdict closure n x y box text numbers fn gen
    error view super() Rule Helper helper list dict type len getattr setattr
    object property staticmethod print torch.Tensor torch.optim.Optimizer
    torch.no_grad""".split()
)
CONSTANTS = st.sampled_from(
    ["0", "1", "-1", "2.5", "'a'", "'{}'", "'%s'", "None", "True", "()", "[]", "{}"]
    + [repr(name) for name in FORBIDDEN[:12]]
    + [repr(name) for name in ("params", "lr", "grad", "out", "num")]
)


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from("+ - * / % @ ** << | & == < in is and or".split())
    return st.one_of(
        st.builds("{}.{}".format, inner, ATTRIBUTES),
        st.builds("({}).{}".format, inner, ATTRIBUTES),
        st.builds("{}({})".format, inner, inner),
        st.builds("{}.{}({})".format, inner, ATTRIBUTES, inner),
        st.builds("{}.{}({}, {})".format, inner, ATTRIBUTES, inner, inner),
        st.builds("{}()".format, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({} {} {})".format, inner, operators, inner),
        st.builds("getattr({}, {})".format, inner, inner),
        st.builds("getattr({}, '{}' + '{}')".format, inner, ATTRIBUTES, st.just("")),
        st.builds("list(map({}, [{}]))".format, inner, inner),
        st.builds("[{} for y in ({})]".format, inner, inner),
        st.builds("(lambda y: {})({})".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("max(*[{}], **{{}})".format, inner),
        st.builds("({}, {})".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("str({})".format, inner),
        st.builds("(x := {})".format, inner),
        st.builds("({} % {})".format, CONSTANTS, inner),
    )


EXPRESSIONS = st.recursive(st.one_of(NAMES, CONSTANTS), _compound, max_leaves=6)
TARGETS = st.one_of(
    st.sampled_from(["x", "y", "box", "view"]),
    st.builds("{}.{}".format, NAMES, ATTRIBUTES),
    st.builds("{}[{}]".format, NAMES, EXPRESSIONS),
    st.builds("x, {}.{}".format, NAMES, ATTRIBUTES),
)
STATEMENTS = st.one_of(
    st.builds("{}".format, EXPRESSIONS),
    st.builds("{} = {}".format, TARGETS, EXPRESSIONS),
    st.builds("{} += {}".format, TARGETS, EXPRESSIONS),
    st.builds("for {} in {}:\n    pass".format, TARGETS, EXPRESSIONS),
    st.builds("del {}".format, TARGETS),
    st.builds("with {} as view:\n    {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("def fn(a={}):\n    return {}".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("raise {}".format, EXPRESSIONS),
    st.builds("setattr({}, {}, {})".format, NAMES, EXPRESSIONS, EXPRESSIONS),
)


def without_reading(source: str, guards: Guards) -> Any:
    """The class of a source whose findings nobody looked at; None for bad syntax."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
            guarded = Policy(collect(tree), flow_of(tree)).visit(tree)
            code = compile(guarded, "<rule>", "exec")
        except SyntaxError:
            return None
    namespace = guards.globals()
    exec(code, namespace)
    return namespace["Rule"]


PREPARED = """
n, x, y, box, text = 3, p, [1, 2], {"a": 1}, "abc"
numbers, view, helper = [1.0, 2.0], torch.max(p, 0), Helper()
fn = lambda y: y
gen = (y for y in [1, 2])
try:
    [][0]
except Exception as found:
    error = found
"""
_TOP = "class Helper:\n    bound = 1"
_PLAIN_READS = {
    name for names in python_names.METHODS.values() for name in names
} | set(vocabulary.TENSOR)


def _may_be_read(target: Any, name: str) -> bool:
    """The lists, said a second time and more simply than the guards say them."""
    kind = type(target)
    if kind in (torch.Tensor, torch.nn.Parameter):
        return name in vocabulary.TENSOR
    owner = target if isinstance(target, type) else kind
    own = owner.__module__ == "dux_rule" or kind is super
    if own or owner.__module__.startswith("torch.optim"):
        if name in ("__init__", "__setstate__"):
            return kind is super or isinstance(target, type)
        if name in torch_names.OPTIMIZER_OWN:
            return name in torch_names.OPTIMIZER_READABLE
        return not name.startswith("__")
    return name in _PLAIN_READS or name in python_names.RESULT_FIELDS


# One hook for the whole process (Python cannot take it away again), asleep by default.
_WATCHED = ("open", "os.", "subprocess.", "socket.", "ctypes.", "exec", "compile")
_events: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _events is not None and event.startswith(_WATCHED):
        _events.append(event)


@contextmanager
def watched() -> Iterator[list[str]]:
    """Events of this process that no rule may cause, as they happen."""
    global _events
    _events = seen = []
    try:
        yield seen
    finally:
        _events = None


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    sys.addaudithook(_audit)
    # torch imports parts of itself at their first use: let it, before we watch.
    warm = "repr(p)\nfor f in (torch.norm, torch.std, torch.sort, F.relu):\n    f(p)"
    load(rule(PREPARED + warm, top=_TOP))([one_parameter()]).step()
    torch.optim.SGD([one_parameter()], lr=0.1).step()


@RELAXED
@given(st.lists(STATEMENTS, min_size=1, max_size=4))
def test_random_programs_never_reach_an_attribute_outside_the_lists(
    statements: list[str],
) -> None:
    step = PREPARED
    for statement in statements:
        inside = textwrap.indent(statement, "    ")
        step += f"try:\n{inside}\nexcept Exception as error:\n    pass\n"
    source = rule(step, top=_TOP)
    reads: list[tuple[str, str]] = []

    def read(target: Any, name: str) -> Any:
        if not _may_be_read(target, name):
            reads.append((type(target).__name__, name))
        return getattr(target, name)

    report = check(source)

    assert "internal" not in {finding.rule for finding in report.findings}
    # The guards alone have to hold, whatever the reading lets through.
    parameter = one_parameter()
    kind = without_reading(source, Guards(read))
    if kind is None:
        return
    optimizer = kind([parameter])
    groups = optimizer.param_groups
    with watched() as events:
        try:
            optimizer.step()
        except Exception:
            pass  # a rule may fail; it may not reach out
    assert [] == reads
    assert [] == events
    assert optimizer.param_groups is groups
    assert [id(parameter)] == [id(p) for g in groups for p in g["params"]]
    assert ((3, 2), torch.float32) == (tuple(parameter.shape), parameter.dtype)
    assert parameter.requires_grad and torch.is_grad_enabled()


@RELAXED
@given(st.text(max_size=200))
def test_random_text_gets_a_report(text: str) -> None:
    report = check(text)

    assert not report.ok
    assert "internal" not in {finding.rule for finding in report.findings}


_TOKENS = (
    r"""
( ) [ ] { } : , . = == + - * ** @ def class if else for in while with as try except
finally lambda yield return not and or is import from torch x 1 'a' f'{x}' async await
match case _ global nonlocal del raise pass := -> ... ; # \ b'' f"{ }" '''
""".split()
    + ["\n", "\n\t", "\n  ", "\n    ", '"""']
)


@RELAXED
@given(st.lists(st.sampled_from(_TOKENS), max_size=40))
def test_random_tokens_get_a_report(tokens: list[str]) -> None:
    for joint in (" ", ""):
        report = check(joint.join(tokens))

        assert "internal" not in {finding.rule for finding in report.findings}


class _Mutant(ast.NodeTransformer):
    """Puts other names, attributes and constants into a source."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def _now(self) -> bool:
        return bool(self._draw(st.integers(0, 9)) == 0)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if self._now():
            node.attr = self._draw(ATTRIBUTES)
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if self._now() and isinstance(node.ctx, ast.Load):
            node.id = self._draw(st.sampled_from("torch self open p __class__".split()))
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if self._now():
            values = [0, -1, 10**30, "__class__", None, 1e9, b"x", "a" * 100]
            return ast.Constant(self._draw(st.sampled_from(values)))
        return node


@settings(RELAXED, max_examples=40)
@given(st.sampled_from([*corpus("benign"), *corpus("escapes")]), st.data())
def test_a_mutated_source_gets_a_report_and_loads_if_it_is_accepted(
    path: Any, data: st.DataObject
) -> None:
    tree = _Mutant(data.draw).visit(ast.parse(path.read_text()))
    source = ast.unparse(ast.fix_missing_locations(tree))

    report = check(source)

    assert "internal" not in {finding.rule for finding in report.findings}
    if report.ok:
        try:
            load(source)
        except SourceRejected as refused:
            assert {"load", "contract"} >= {f.rule for f in refused.report.findings}
