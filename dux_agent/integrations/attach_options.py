"""Options of `attach` that an integration hands on, looked at before anything runs."""

import inspect
from collections.abc import Iterable
from difflib import get_close_matches

from dux_agent.attaching import attach


def check_attach_options(given: Iterable[str]) -> None:
    """Refuse names that `attach` has no option for.

    Raises:
        TypeError: there is one, as where Python finds it; the message says which name
            is nearest, and all that there are.
    """
    named = inspect.signature(attach).parameters.values()
    options = [each.name for each in named if each.kind is each.KEYWORD_ONLY]
    for name in given:
        if name in options:
            continue
        near = get_close_matches(name, options, n=1)
        meant = f"did you mean {near[0]!r}? Its" if near else "its"
        raise TypeError(
            f"attach has no option {name!r}; {meant} options are {', '.join(options)}"
        )
