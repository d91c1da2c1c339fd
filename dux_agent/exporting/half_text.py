"""What stands in an exported module because its rule says `bfloat16_state = True`."""

from importlib import resources

from dux_agent.exporting.placing import FUTURE, indented

_NAME = "bfloat16_state"


def with_halved_state(name: str, source: str) -> str:
    """The source, and where its class says so what has it keep its state in bfloat16.

    The chances of its rounding begin with the seed that the live rule's began with, and
    begin anew with each instance: they are in no `state_dict`.
    """
    if _NAME not in source:
        return source
    text = (resources.files("dux_sandbox") / "half_state.py").read_text("utf-8")
    body = indented(text.partition(FUTURE)[2].strip("\n"))
    # All in one function: a rule may have helpers of the same names.
    return (
        f"def _with_halved_state(rule):\n"
        f'    """Keep the state of a class in bfloat16, rounded by chance."""\n'
        f"{body}\n\n"
        f"    keep_halved(rule)\n\n\n"
        f"{source.rstrip()}\n\n\n"
        f"if getattr({name}, {_NAME!r}, False) is True:\n"
        f"    _with_halved_state({name})\n"
    )
