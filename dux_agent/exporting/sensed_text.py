"""What stands in an exported module because its rule declares sensors."""

from collections.abc import Sequence
from importlib import resources

from dux_agent.exporting.placing import FUTURE
from dux_agent.run_history.records import DecisionStory


def machinery() -> str:
    """The definitions that `call` needs; they need torch alone."""
    texts = []
    for package, name in (
        ("dux_sandbox", "sensing.py"),
        ("dux_agent.exporting", "sensed.py"),
    ):
        text = (resources.files(package) / name).read_text(encoding="utf-8")
        texts.append(text.partition(FUTURE)[2].strip("\n"))
    own = "from dux_sandbox.sensing import Sensing\n"
    return "\n\n\n".join(texts).replace(own, "") + "\n"


def call(name: str, sensors: Sequence[str], done: int, total: int | None) -> str:
    """The line that gives a class its sensors, after so many steps of so many."""
    return f"give_sensors({name}, {tuple(sensors)!r}, done={done}, total={total})\n"


def total_steps(decision: DecisionStory) -> int | None:
    """Of the whole run, as the decision's observation tells them."""
    for event in reversed(decision.events):
        total = event.data.get("total_steps") if event.kind == "observation" else None
        if type(total) is int and total > 0:
            return total
    return None


def told(sensors: Sequence[str], total: int | None) -> list[str]:
    """What the module computes by itself, and what it cannot; lines for its head."""
    lines = [f"sensors: {', '.join(sensors)}, computed here"] if sensors else []
    if "step_fraction" in sensors:
        length = f"{total} steps in all, as the run had" if total else "no known length"
        lines.append(f"step_fraction: of {length}; change total= for another run")
    if "loss_trend" in sensors:
        lines.append(
            "loss_trend: 0 unless step() is given a closure that returns the loss, or "
            "observe(loss) is called after each step"
        )
    return lines
