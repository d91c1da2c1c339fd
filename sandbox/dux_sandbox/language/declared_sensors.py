"""What a class says in `sensors = (...)`: the readings that it wants of the run."""

import ast
import difflib
from collections.abc import Sequence

from dux_sandbox.findings import Finding

SENSORS = ("step_fraction", "loss_trend", "gradient_cosine", "update_ratio")
"""Every sensor by name; `dux_sandbox.sensing` computes them."""

PLAUSIBLE = dict(zip(SENSORS, (0.25, -0.1, 0.5, 0.01), strict=True))
"""What each may say in the middle of a run, for trials without one."""

_FORM = f"sensors = ({', '.join(map(repr, SENSORS))}), or some of these"


def declared(chain: Sequence[ast.ClassDef]) -> tuple[tuple[str, ...], list[Finding]]:
    """The sensors that a rule declares, and what is wrong with them.

    Args:
        chain: its class and its ancestors among the classes of the source, nearest
            first.
    """
    for node in chain:
        for statement in reversed(node.body):
            value = _declaration(statement)
            if value is not None:
                return _read(value)
    return (), []


def _declaration(statement: ast.stmt) -> ast.expr | None:
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        return None
    names = [each.id for each in targets if isinstance(each, ast.Name)]
    return statement.value if "sensors" in names else None


def _read(value: ast.expr) -> tuple[tuple[str, ...], list[Finding]]:
    if not isinstance(value, ast.Tuple | ast.List):
        found = f"sensors is {ast.unparse(value)[:60]}, and no tuple of names"
        return (), [Finding("sensors", value.lineno, found, _FORM)]
    names, findings = [], []
    for each in value.elts:
        name = each.value if isinstance(each, ast.Constant) else None
        if not isinstance(name, str):
            found = f"sensors holds {ast.unparse(each)[:60]}, and no name in quotes"
            findings.append(Finding("sensors", each.lineno, found, _FORM))
        elif name not in SENSORS:
            near = difflib.get_close_matches(name, SENSORS, n=1)
            found = f"there is no sensor {name[:60]!r}"
            instead = f"{near[0]!r}" if near else _FORM
            findings.append(Finding("sensors", each.lineno, found, instead))
        else:
            names.append(name)
    return tuple(dict.fromkeys(names)), findings
