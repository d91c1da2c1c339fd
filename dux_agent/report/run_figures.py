"""The figures at the head of a run's page: losses, decisions, time, money."""

from collections import Counter

from dux_agent.formatting import loss_text, plural, seconds_text, went_back_text
from dux_agent.report.decision_view import View
from dux_agent.report.money import Prices, money_text
from dux_agent.run_history.records import EpochLosses, RunHistory


def figures_of(run: RunHistory, prices: Prices) -> list[View]:
    """A name, a value and a note each."""
    figures = _losses(run)
    verdicts = Counter(each.verdict.replace("_", " ") for each in run.decisions)
    note = ", ".join(f"{count} {name[:40]}" for name, count in verdicts.items())
    figures.append(figure("decisions", f"{len(run.decisions):,}", note))
    if run.went_back:
        back = run.went_back[-1]
        note = f"the last at step {back.step:,}: {went_back_text(back)}"
        figures.append(figure("rollbacks", f"{len(run.went_back):,}", note))
    length = seconds_text(run.ended - run.began)
    deciding = sum(each.seconds or 0.0 for each in run.decisions)
    figures.append(figure("time", length, f"{seconds_text(deciding)} of it deciding"))
    return [*figures, _tokens(run, prices)]


def figure(name: str, value: str, note: str) -> View:
    """One figure at the head of a page."""
    return {"name": name, "value": value, "note": note}


def _losses(run: RunHistory) -> list[View]:
    """The last ones, and those of the best weights where they were kept."""
    figures = []
    if run.epochs:
        last = run.epochs[-1]
        beside = next((e for e in run.control if e.number == last.number), None)
        for name, kind in (("test loss", "test"), ("validation loss", "val")):
            figures.append(_figure(f"last {name}", last, beside, kind))
        best = run.best_epoch
        if best is not None:
            note = f"of epoch {best.number}; their test loss {loss_text(best.test)}"
            value = f"validation loss {loss_text(best.val)}"
            figures.append(figure("best weights", value, note))
    elif run.losses:
        step, loss = run.losses[-1]
        note = f"at step {step:,}"
        figures.append(figure("last training loss", loss_text(loss), note))
    return figures


def _tokens(run: RunHistory, prices: Prices) -> View:
    usages = [each.usage for each in run.decisions]
    kinds = ("input_tokens", "output_tokens")
    tokens = int(sum(each.get(kind, 0) for each in usages for kind in kinds))
    calls = int(sum(each.get("calls", 0) for each in usages))
    money = money_text(prices, usages)
    if prices.known:
        value, _, why = money.partition(": ")
        note = f"{tokens:,} tokens in {plural(calls, 'call')}"
        if why:
            note += f"; {why}"
        return figure("money", value, note)
    value = f"{tokens:,}" if tokens else "unknown"
    return figure("tokens", value, f"{plural(calls, 'call')}; money {money}")


def _figure(
    name: str, last: EpochLosses, beside: EpochLosses | None, kind: str
) -> View:
    ours = getattr(last, kind)
    note = f"after epoch {last.number}"
    theirs = getattr(beside, kind) if beside is not None else None
    if theirs is not None:
        note = f"control {loss_text(theirs)}{change_text(ours, theirs)}"
    return figure(name, loss_text(ours), note)


def change_text(ours: float | None, theirs: float | None) -> str:
    """How far a loss is from another, in percent of it; empty where it cannot be.

    >>> change_text(0.5, 2.0)
    ': 75.0 % below it'
    """
    if ours is None or theirs is None or not 0 < theirs < 1e300:
        return ""
    change = 100 * (ours - theirs) / theirs
    if not abs(change) < 1e6:
        return ""
    return f": {abs(change):.1f} % {'below' if change <= 0 else 'above'} it"
