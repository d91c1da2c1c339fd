"""OpenEvolve improves an optimizer, scored as `dux evolve` scores.

    pip install openevolve
    python examples/evolve_openevolve.py

Who answers is scripted here, so that nothing is asked over the network: it proposes
optimizers of the zoo. With an evaluation file of your own it is one line there:
`evaluate = evaluator(["logistic"]).of_file`.
"""

from __future__ import annotations

import logging

from openevolve.api import run_evolution
from openevolve.config import Config, LLMModelConfig
from openevolve.llm.base import LLMInterface

from dux_agent.evolving.evaluator import evaluator
from dux_sandbox.zoo import entry


class Scripted(LLMInterface):
    """Answers with optimizers of the zoo in turn."""

    def __init__(self, config):
        self.model = "scripted"
        self._left = ["import os", entry("nesterov").source, entry("lion").source]

    async def generate(self, prompt, **options):
        """A reply with the next proposal."""
        source = self._left.pop(0) if self._left else entry("sgd").source
        return f"```python\n{source}\n```"

    async def generate_with_context(self, system_message, messages, **options):
        """The same."""
        return await self.generate(system_message)


def main() -> None:
    """Search, and say what was found."""
    logging.disable(logging.WARNING)
    config = Config(diff_based_evolution=False)
    config.llm.models = [LLMModelConfig(name="scripted", init_client=Scripted)]
    config.llm.evaluator_models = list(config.llm.models)
    config.evaluator.cascade_evaluation = False
    config.evaluator.parallel_evaluations = 1
    config.database.num_islands = 1
    result = run_evolution(
        entry("adagrad").source,
        evaluator(["logistic"], share=0.2).of_file,
        config,
        iterations=4,
    )
    print(f"the best one's score: {result.best_score:.3f}")
    print(result.best_code)


if __name__ == "__main__":
    main()
