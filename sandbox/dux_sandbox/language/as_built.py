"""An optimizer as a training builds and steps it: `Rule(params)` and `step(closure)`.

Each change is of one kind and stands in a module of its own; here is their order.
"""

import ast
from collections.abc import Container

from dux_sandbox.findings import Finding
from dux_sandbox.language import parameter_marks, trained_already
from dux_sandbox.language.backward_passes import leave_out
from dux_sandbox.language.bindings import path_of
from dux_sandbox.language.given_groups import complete
from dux_sandbox.language.inner_steps import bound
from dux_sandbox.language.model_faces import in_place_of_parameters
from dux_sandbox.language.options_passed_on import pass_on
from dux_sandbox.language.own_passes import by_closure
from dux_sandbox.language.second_derivatives import by_differences
from dux_sandbox.language.several_lists import split
from dux_sandbox.language.step_arguments import complete_step
from dux_sandbox.language.torch_names import base_path
from dux_sandbox.language.two_phases import join
from dux_sandbox.language.wrapped import keep_state, take_as_made, wrap


def as_built(
    node: ast.ClassDef,
    aliases: dict[str, str],
    attributes: set[str],
    hung: set[str],
    handed: bool,
) -> tuple[bool, bool, list[Finding]]:
    """An optimizer as it is built and stepped, in place.

    Args:
        aliases: what the names of its source are imported as.
        attributes: the names of all attributes of its source.
        hung: those that it writes on something else than `self`.
        handed: whether it calls steps with more than a closure.

    Returns:
        Whether it wraps another, whether more was changed than notes tell, and notes.
    """
    wrapped = wrap(node)
    changed = keep_state(node) | take_as_made(node, attributes)
    made = (wrapped, split(node), join(node))
    given = [each for each in made if each is not None]
    given += in_place_of_parameters(node, attributes)
    given += [*by_closure(node), *bound(node)]
    given += [*complete(node), *pass_on(node), *complete_step(node, handed=handed)]
    given += trained_already.leave_out(node, attributes)
    given += by_differences(node, aliases, attributes)
    given += [*leave_out(node), *parameter_marks.keep(node, hung)]
    return wrapped is not None, changed, given


def is_optimizer(
    node: ast.ClassDef, aliases: dict[str, str], known: Container[str]
) -> bool:
    """Whether a class is built on torch's, or on a known one of the file."""
    return any(
        base_path(path_of(base, aliases)) or ast.unparse(base) in known
        for base in node.bases
    )
