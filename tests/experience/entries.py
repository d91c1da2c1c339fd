"""Entries that several tests share."""

from dux_agent.experience.entry import Entry
from dux_agent.experience.situation import Situation
from dux_sandbox.findings import digest_of
from tests.run_folders import source

HERE = Situation(
    layers=("Linear", "Sigmoid"),
    parameters=235146,
    loss="cross entropy",
    base="SGD",
    live="SGD",
    rate=0.01,
    stage=0.2,
    change=-0.005,
    gradient=0.3,
    growth=0.85,
    gap=0.001,
)


def entry(number=1, **parts):
    """An entry of a rule that went live and did well."""
    text = parts.pop("source", source(number))
    given = {
        "run": f"run-{number}",
        "origin": "digits-0",
        "decision": number,
        "proposal": 1,
        "situation": HERE,
        "digest": digest_of(text),
        "source": text,
        "proposed": f"Plain: idea {number}",
        "family": "sgd",
        "rate": 0.01,
        "verdict": "applied",
        "change": -0.4,
        "before": -0.01,
        "lesson": f"lesson {number}",
    }
    return Entry.of(**given | parts)
