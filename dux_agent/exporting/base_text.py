"""The base optimizer of a run as text of an exported module."""

import math
from collections.abc import Mapping
from typing import Any


def base_text(described: Mapping[str, Any]) -> str:
    """A function that builds the run's base optimizer."""
    import torch

    name = str(described.get("name"))
    kind = getattr(torch.optim, name, None) if name.isidentifier() else None
    groups = described.get("groups")
    if not isinstance(kind, type) or not isinstance(groups, list) or not groups:
        return _no_base("is not known to torch")
    if described.get("groups_left_out"):
        return _no_base(f"had more groups than the {len(groups)} that are recorded")
    lines = [_options(group) for group in groups if isinstance(group, Mapping)]
    options = "\n".join(f"    {each}," for each in lines)
    return (
        f"BASE_OPTIONS = [\n{options}\n]\n"
        f'"""The options of each parameter group, as the run began."""\n\n\n'
        f"def base_optimizer(groups):\n"
        f'    """torch.optim.{name}, as the run began."""\n'
        f"    if len(groups) != len(BASE_OPTIONS):\n"
        f"        raise ValueError(\n"
        f"            f'{{len(groups)}} parameter groups were given; the run had '\n"
        f"            f'{{len(BASE_OPTIONS)}}; pass as many, or base='\n"
        f"        )\n"
        f"    for group, options in zip(groups, BASE_OPTIONS):\n"
        f"        group.update(options)\n"
        f"    return torch.optim.{name}(groups, lr=BASE_OPTIONS[0].get('lr', 1e-3))\n"
    )


def _no_base(why: str) -> str:
    return (
        "def base_optimizer(groups):\n"
        '    """The base optimizer of the run, which has to be given."""\n'
        "    raise NotImplementedError(\n"
        f"        'the base optimizer of the run {why}; '\n"
        "        'pass base=, a function that builds it from groups'\n"
        "    )\n"
    )


def _options(group: Mapping[str, Any]) -> str:
    shown = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in group.items()
        if isinstance(key, str) and key.isidentifier() and _plain(value)
    }
    return repr(shown)


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, int | float) for each in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int)
