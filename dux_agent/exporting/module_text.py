"""Rules of a run as the text of a module: the best one, or all in their order."""

import ast
import builtins
import keyword
import logging
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from dux_agent.errors import BadArgument, DuxError
from dux_agent.exporting import sensed_text
from dux_agent.exporting.base_text import base_text
from dux_agent.exporting.best import Best, best_rule, live_rules
from dux_agent.exporting.half_text import with_halved_state
from dux_agent.exporting.placing import (
    FUTURE,
    indented,
    with_name,
    without_future,
    without_script,
)
from dux_agent.formatting import by_itself_text, model_title
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.records import DecisionStory, RunHistory
from dux_agent.showing import one_line
from dux_sandbox.static_check import judge, sensors_of

log = logging.getLogger(__name__)

WARNING = """\
The model above wrote the rule. In the run it was guarded while it ran; here it is
ordinary Python that runs with your rights. Read it before you import it."""


def export(
    folder: str | Path, *, schedule: bool = False, name: str | None = None
) -> str:
    """The text of a module that needs only torch.

    Args:
        folder: a run folder; nothing in it is changed, nothing of it is run.
        schedule: all rules as one optimizer that makes the run's switches at the
            run's steps, instead of the best rule alone.
        name: of the class; None: "Schedule", or what the rule is called.

    Raises:
        RunFolderUnusable: it is no run folder.
        BadArgument: no class of that name can stand in the module.
        DuxError: no rule was applied; a source is missing or damaged, or the static
            check refuses it.
    """
    run = read_story(folder)
    if schedule:
        return _scheduled(run, "Schedule" if name is None else name)
    return _alone(run, best_rule(run), name)


def _alone(run: RunHistory, best: Best, wanted: str | None) -> str:
    name, source = called(*fit(run, best.decision), wanted)
    told = [
        f"{name}: the best rule of a run of dux-agent, as a module of its own.",
        "",
        *_origin(run),
        f"decision: {best.decision.number}, at step {best.decision.decided_at}",
        f"chosen by: {_why(best)}",
        f"digest: {best.decision.digest}",
        *_told_of(best.decision),
        *_losses(run),
        "",
        *WARNING.split("\n"),
        "",
        f"    optimizer = {name}(model.parameters())",
    ]
    done, total = best.decision.decided_at, sensed_text.total_steps(best.decision)
    return with_head(told, name, source, done=done, total=total)


def called(name: str, source: str, wanted: str | None) -> tuple[str, str]:
    """A rule's name and its source, with its class called as is wanted.

    Raises:
        BadArgument: no class of that name can stand in the source.
    """
    if wanted is None or wanted == name:
        return name, source
    check_name(wanted, [source])
    return wanted, with_name(source, name, wanted)


def with_head(
    told: Sequence[str], name: str, source: str, *, done: int, total: int | None
) -> str:
    """A module of one rule, with what its sensors need where it declares any.

    Args:
        told: the lines of its docstring.
        done, total: steps of the run when the rule begins, and in all.
    """
    sensors = sensors_of(source)
    source, future = without_future(source)
    source = with_halved_state(name, source)
    if sensors:
        call = sensed_text.call(name, sensors, done, total)
        source = f"{sensed_text.machinery()}\n\n{source}\n\n{call}"
    head = FUTURE + "\n" if future or sensors else ""
    return _sound(docstring(told) + head + source)


def _sensors(decision: DecisionStory) -> tuple[str, ...]:
    return sensors_of(decision.source or "")


def _why(best: Best) -> str:
    if not best.measure:
        return "being the last (no loss is recorded)"
    return f"lowest {best.measure}, {best.loss:.6g} ({best.when})"


def _scheduled(run: RunHistory, class_name: str) -> str:
    decisions = live_rules(run)
    if not decisions:
        best_rule(run)  # says what is wrong
    rules, lines = [], []
    for place, decision in enumerate(decisions, start=1):
        name, source = fit(run, decision)
        body = indented(with_halved_state(name, without_future(source)[0])).rstrip()
        title = f"{name}, decision {decision.number}, {decision.digest}"
        head = f'def rule_{place}(groups):\n    """{title}."""\n'
        sensors = _sensors(decision)
        if sensors:
            length = sensed_text.total_steps(decision)
            call = sensed_text.call(name, sensors, decision.decided_at, length)
            body += f"\n\n    {call}"
        rules.append(f"{head}\n{body}\n\n    return {name}(groups)\n")
        carry = bool(decision.carried)
        lines.append(f"    ({decision.decided_at}, rule_{place}, {carry}),")
    told = [
        "The rules of a run of dux-agent, one after another, as one optimizer.",
        "",
        *_origin(run),
        "rules: " + ", ".join(_switch(decision) for decision in decisions),
        *(line for decision in decisions for line in _told_of(decision)),
        *_losses(run),
        *_left_out(run),
        "",
        *WARNING.replace("the rule", "the rules", 1).split("\n"),
        "",
        f"    optimizer = {class_name}(model.parameters())",
    ]
    parts = [
        docstring(told) + FUTURE,
        _machinery(),
        *([sensed_text.machinery()] if any(map(_sensors, decisions)) else []),
        base_text(decisions[0].base),
        "\n\n".join(rules),
        "SWITCHES = [\n" + "\n".join(lines) + "\n]\n"
        '"""After how many steps which rule takes over; True: with its state."""\n',
    ]
    check_name(class_name, parts)
    parts.append(_SCHEDULE.format(name=class_name))
    return _sound("\n\n".join(part.strip("\n") + "\n" for part in parts))


def check_name(name: str, parts: Sequence[str]) -> None:
    """Raise BadArgument unless a class of that name can stand behind these parts."""
    used = {
        node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else node.id
        for part in parts
        for node in ast.walk(ast.parse(_sound(part)))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Name)
    }
    taken = name in used or hasattr(builtins, name) or keyword.issoftkeyword(name)
    if not name.isidentifier() or keyword.iskeyword(name) or taken:
        why = "which the module uses itself" if taken else "which no class can have"
        raise BadArgument(
            f"--name is {name[:80]!r}, {why}; a name of its own was wanted; write for "
            f"instance --name Schedule."
        )


_SCHEDULE = '''
class {name}(ScheduledOptimizer):
    """The run's optimizers at the run's steps; use it like any torch optimizer."""

    def __init__(self, params, base=base_optimizer, switches=SWITCHES):
        super().__init__(params, base, switches)
'''


def _switch(decision: DecisionStory) -> str:
    return f"decision {decision.number} at step {decision.decided_at}"


def _left_out(run: RunHistory) -> list[str]:
    back = [f"{each.number}" for each in run.decisions if each.verdict == "rolled_back"]
    if not back:
        return []
    return [
        f"left out: decision {', '.join(back)}, rolled back; the run before it took "
        f"its steps, so that losses differ from there on"
    ]


def _told_of(decision: DecisionStory) -> list[str]:
    """A word on a rule that does more than step, and on a source from no reply.

    Its digest is that of its text, but whoever may write a run folder can change both.
    """
    moves = decision.by_itself
    more = [f"decision {decision.number} {by_itself_text(moves)}"] if moves else []
    more += sensed_text.told(_sensors(decision), sensed_text.total_steps(decision))
    heard = (each.digest for each in decision.proposals if each.reply is not None)
    if decision.digest in heard:
        return more
    told = (
        f"warning: no reply in the trace proposes the source of decision "
        f"{decision.number}; somebody may have changed the run folder"
    )
    log.warning("%s.", told)
    return [*more, told]


def _origin(run: RunHistory) -> list[str]:
    facts = run.facts
    versions = facts.get("versions")
    by_name = versions if isinstance(versions, Mapping) else {}
    return [
        f"run: {run.path.name}, {facts.get('created', 'time unknown')}",
        f"task: {facts.get('task')}, seed {facts.get('seed')}",
        f"model: {model_title(str(facts.get('model', 'unknown')))}",
        f"versions: dux-agent {by_name.get('dux-agent')}, torch {by_name.get('torch')}",
    ]


def _losses(run: RunHistory) -> list[str]:
    lines = []
    for name, epochs in (("run", run.epochs), ("control", run.control)):
        if epochs:
            last = epochs[-1]
            losses = [(kind, getattr(last, kind)) for kind in ("train", "val", "test")]
            figures = ", ".join(f"{k} {x:.6g}" for k, x in losses if x is not None)
            lines.append(f"losses of the {name} after epoch {last.number}: {figures}")
    return lines


def docstring(lines: Sequence[str]) -> str:
    """A module's docstring of texts that may be anything."""
    safe = [
        "    " * line.startswith("    ")
        + one_line(line, 200).replace("\\", "/").replace('"', "'")
        for line in lines
    ]
    return '"""' + "\n".join(safe) + '\n"""\n\n'


def fit(run: RunHistory, decision: DecisionStory) -> tuple[str, str]:
    """The rule's name and its source, as the live run took them."""
    source = decision.source
    if source is None:
        raise DuxError(
            f"the source of decision {decision.number} is not in {run.path} under its "
            f"digest {decision.digest[:12]}; the file that the run wrote was wanted; "
            f"restore sources/ of the run folder."
        )
    return sound_source(source, f"decision {decision.number}")


def sound_source(source: str, whose: str) -> tuple[str, str]:
    """The rule's name and its source, as it is loaded.

    Raises:
        DuxError: the static check refuses it.
    """
    judgement = judge(source)
    if not judgement.report.ok or judgement.rule is None:
        found = "; ".join(str(each) for each in judgement.report.findings[:2])
        raise DuxError(
            f"the static check refuses the source of {whose}: {found}; a source that "
            f"it accepts was wanted; export it with the dux-agent that made the run."
        )
    text = source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return judgement.rule, without_script(text)


def _machinery() -> str:
    """`dux_agent.exporting.scheduled` without its docstring and `__future__` line."""
    file = resources.files("dux_agent.exporting") / "scheduled.py"
    return file.read_text(encoding="utf-8").partition(FUTURE)[2]


def _sound(text: str) -> str:
    try:
        compile(text, "<exported>", "exec", dont_inherit=True, flags=ast.PyCF_ONLY_AST)
    except (SyntaxError, ValueError) as error:
        raise DuxError(
            f"the module that was made is no valid Python: {error}; a source that can "
            f"stand in a module was wanted; take it from sources/ of the run folder."
        ) from None
    return text
