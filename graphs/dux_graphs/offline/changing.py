"""Other answers to the same figures: safer after a refusal, varied for a contest."""

from dataclasses import replace

from dux_graphs.offline.plan import Plan
from dux_graphs.offline.writing import title_of


def safer(plan: Plan, times: int, why: str) -> Plan:
    """Half the rate for each refusal; from the second on a simpler family too."""
    family = plan.family
    if times == 2:
        family = "adamw" if plan.family == "muon" else "rmsprop"
    elif times >= 3:
        family = "sgd"
    rate = plan.lr * 0.5**times
    if family == "sgd" and plan.family != "sgd":
        rate = min(rate, 1e-3)
    change = f"{why}. Safer: {title_of(family)}, rate {rate:.3g}, slower warm-up."
    return replace(
        plan,
        family=family,
        lr=rate,
        adam_lr=plan.adam_lr * 0.5**times,
        average=0,
        clip=plan.clip if plan.clip is not None else 1.0,
        warmup=max(plan.warmup, min(10 * times, max(1, plan.total // 2))),
        changes=(*plan.changes, change),
    )


def varied(plan: Plan, candidate: int) -> Plan:
    """The same figures, answered in another way for each further candidate."""
    if candidate <= 1:
        return plan
    other = "adamw" if plan.family == "muon" else "muon"
    kinds = [(other, 0.6), (plan.family, 0.4), ("lion", 0.1), ("rmsprop", 0.2)]
    family, factor = kinds[(candidate - 2) % 4]
    factor *= 0.5 ** ((candidate - 2) // 4)
    rate = plan.lr * factor
    return replace(
        plan,
        family=family,
        lr=rate,
        adam_lr=0.6 * rate,
        beta2=0.98 if family == "lion" else 0.99,
        changes=(
            *plan.changes,
            f"Proposal {candidate}: {title_of(family)} at {rate:.3g} instead.",
        ),
    )
