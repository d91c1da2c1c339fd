"""What `dux models` prints."""

from collections.abc import Sequence

from rich.console import Console

from dux_agent.model_trial import STAGES, Call, ModelTrial
from dux_agent.reachable_models import Reachable
from dux_agent.report.money import Prices, money_text
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table

_DOES = {
    "reply": "the reply can be read",
    "static_check": "the source passes the static check",
    "dry_run": "it passes the dry run",
}


def print_trial(console: Console, name: str, trial: ModelTrial, prices: Prices) -> None:
    """Latency, tokens, money, and how far the proposal came."""
    table = plain_table(one_line(name))
    table.add_column("call")
    for column in ("seconds", "tokens in", "tokens out", "money"):
        table.add_column(column, justify="right")
    for title, call in (("one word", trial.tiny), ("a proposal", trial.proposal)):
        if call is not None:
            table.add_row(title, f"{call.seconds:.2f}", *_tokens(call, prices))
    console.print(table)
    for call in (trial.tiny, trial.proposal):
        if call is not None and call.trouble:
            say(console, f"it failed: {one_line(call.trouble)}")
            return
    for number, stage in enumerate(STAGES):
        passed = stage in trial.passed
        say(console, f"{'yes' if passed else 'no':3}  {_DOES[stage]}")
        if not passed:
            for finding in trial.findings:
                say(console, f"     {one_line(str(finding))}")
            if number + 1 < len(STAGES):
                say(console, "     what comes after it was not tried")
            return


def print_reachable(console: Console, found: Sequence[Reachable]) -> None:
    """A line for each way to a model."""
    table = plain_table("Language models")
    table.add_column("--lm", no_wrap=True)
    table.add_column("here")
    table.add_column("", ratio=1, overflow="fold")
    for each in found:
        table.add_row(each.name, "yes" if each.ready else "no", one_line(each.note))
    console.print(table)


def _tokens(call: Call, prices: Prices) -> tuple[str, str, str]:
    counts = [
        str(call.usage.get(name, "?")) for name in ("input_tokens", "output_tokens")
    ]
    money = money_text(prices, [call.usage]) if prices.known else "no prices given"
    return counts[0], counts[1], money
