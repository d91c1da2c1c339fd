"""What is new in an agent's decisions, as figures and words for a framework's logs."""

from dux_agent.agent import Agent
from dux_agent.decisions import Decision
from dux_agent.live.group_options import learning_rates


class DecisionNews:
    """Decisions that were made, and rules rolled back, since the last look."""

    def __init__(self, agent: Agent) -> None:
        """Nothing is new yet."""
        self._agent = agent
        self.skip()

    def skip(self) -> None:
        """What was decided so far is known, as after a checkpoint was loaded."""
        self._told = [each.verdict for each in self._agent.decisions]

    def take(self) -> list[Decision]:
        """The decisions whose verdict is new, in order; each is handed out once."""
        decisions = self._agent.decisions
        if not decisions:
            return []
        known = self._told + [None] * (len(decisions) - len(self._told))
        new = [
            decision
            for decision, verdict in zip(decisions, known, strict=False)
            if decision.verdict != verdict
        ]
        if new:
            self.skip()
        return new


def figures(agent: Agent, decision: Decision, under: str = "dux") -> dict[str, float]:
    """One decision as numbers that every logger takes.

    `decision` is its number; `applied` and `rolled_back` count over the run; `seconds`
    and `tokens` are what it cost; `learning_rate` is the first group's of now.
    """
    verdicts = [each.verdict for each in agent.decisions]
    told = {
        "decision": float(decision.number),
        "applied": float(verdicts.count("applied")),
        "rolled_back": float(verdicts.count("rolled_back")),
        "seconds": decision.seconds,
        "tokens": float(decision.usage.get("total_tokens", 0)),
    }
    for rate in learning_rates(agent.optimizer.param_groups)[:1]:
        told["learning_rate"] = rate
    return {f"{under}/{name}": value for name, value in told.items()}


def account(decision: Decision) -> str:
    """One decision in words, with its source as an indented block of Markdown."""
    told = (
        f"decision {decision.number}, step {decision.step}: {decision.verdict}. "
        f"{decision.reason}"
    )
    lines = "\n".join(f"    {line}" for line in (decision.source or "").splitlines())
    return f"{told}\n\n{lines}" if lines else told
