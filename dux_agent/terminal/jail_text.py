"""What `dux doctor` prints: the layers of the jail, and what was seen of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table
from dux_sandbox.jailed_programs import LAYERS

if TYPE_CHECKING:
    from dux_sandbox.process.jail import Layer
    from dux_sandbox.process.witnessing import Tried, Witnessed

# Who takes a layer away, and what gives it back.
_WORDS = {
    "rlimits": "a bound that is lower already cannot be set; start with higher ones "
    "(ulimit -H, or the container's --ulimit)",
    "namespaces": "Docker's default profile refuses new namespaces, and so do some "
    "kernels (user.max_user_namespaces=0, kernel.unprivileged_userns_clone=0, "
    "AppArmor's rule on user namespaces); in a container --security-opt "
    "seccomp=unconfined or --cap-add SYS_ADMIN gives them back; without them the "
    "network stays closed by seccomp",
    "landlock": "it takes Linux 5.13 or newer with landlock in "
    "/sys/kernel/security/lsm, and a container whose profile lets its calls through "
    "(Docker 23 or newer); without it paths stay closed by seccomp",
    "seccomp": "it takes a kernel with seccomp filters, libseccomp2 of the system and "
    "pip install pyseccomp; without it processes, threads and signals stay open",
}
_NAMED = 3
_IN_CONTAINER = "this looks like a container: its runtime may take layers away"


def print_jail(console: Console, seen: Witnessed) -> None:
    """The layers, what was tried, and in words what this system takes away."""
    table = plain_table("The jail")
    table.add_column("layer", no_wrap=True)
    table.add_column("active", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("what it does, or why it is missing", ratio=1, overflow="fold")
    table.add_column("alone it denied", ratio=1, overflow="fold")
    for layer in seen.layers:
        denied = [one.name for one in seen.by(layer.name)]
        more = len(denied) - _NAMED
        told = ", ".join(denied[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        table.add_row(
            layer.name,
            Text("yes", style="green") if layer.active else Text("no", style="red"),
            f"{layer.milliseconds:.2f}",
            Text(one_line(layer.detail)),
            Text(told or "nothing that was seen"),
        )
    console.print(table)
    if seen.tried:
        _print_tried(console, seen)
    for line in _summary(seen):
        say(console, line)


def _print_tried(console: Console, seen: Witnessed) -> None:
    table = plain_table("Tried")
    table.add_column("to", overflow="fold")
    table.add_column("outside", no_wrap=True)
    table.add_column("in a rule's\nprocess", no_wrap=True)
    table.add_column("what it was told", ratio=1, overflow="fold")
    for one in seen.tried:
        inside = Text("WORKS", style="red") if one.inside else Text("fails")
        table.add_row(
            one.name,
            "works" if one.outside else "fails too",
            inside,
            Text(one_line(one.why_not)),
        )
    console.print(table)


def _summary(seen: Witnessed) -> list[str]:
    """What it comes to, a sentence a line."""
    lines = []
    missing = [layer for layer in seen.layers if not layer.active]
    if missing:
        lines.append(
            f"{len(missing)} of {len(seen.layers)} layers are missing on this system; "
            f"Limits(require=...) refuses to run without those you name"
        )
        lines += [_why(layer) for layer in missing]
        if _in_container():
            lines.append(_IN_CONTAINER)
    else:
        lines.append("every layer is active")
    lacking = [layer.name for layer in missing if layer.name in LAYERS]
    without = (
        f"refuses here, without {' and '.join(lacking)}" if lacking else "runs here"
    )
    lines.append(f"dux tune --code {without}")
    if not seen.tried:
        lines.append("nothing was tried: what is tried here is Linux's own")
        return lines
    witnessed = sum(one.witnessed for one in seen.tried)
    lines.append(
        f"{len(seen.tried)} things were tried: {witnessed} work outside the jail and "
        f"fail in a rule's process"
    )
    lines += _unseen(seen.tried)
    return lines


def _unseen(tried: tuple[Tried, ...]) -> list[str]:
    lines = []
    for one in tried:
        if one.inside:
            lines.append(
                f"to {one.name} WORKS in a rule's process: none of the layers that "
                f"deny it ({', '.join(one.alone)}) holds here"
            )
        elif not one.outside:
            lines.append(
                f"to {one.name} fails without the jail too ({one_line(one.why_not)}): "
                f"this system denies it to everybody, so the jail's part is not seen"
            )
    return lines


def _why(layer: Layer) -> str:
    words = _WORDS.get(layer.name)
    said = one_line(layer.detail)
    return f"{layer.name}: {said}" + (f"; {words}" if words else "")


def _in_container() -> bool:
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))
