"""gepa's optimize_anything improves an optimizer, scored as `dux evolve` scores.

    pip install gepa
    python examples/evolve_gepa.py

Who answers is scripted here, so that nothing is asked over the network: it proposes
optimizers of the zoo. Any model that gepa knows stands in its place.
"""

from __future__ import annotations

import gepa.optimize_anything as oa

from dux_agent.evolving.evaluator import evaluator
from dux_sandbox.zoo import entry

PROPOSALS = iter(["import os", entry("nesterov").source, entry("lion").source])


def scripted(prompt, **options):
    """A reply with the next proposal: gepa asks by a text, or by messages."""
    return f"```python\n{next(PROPOSALS, entry('sgd').source)}\n```"


def main() -> None:
    """Search, and say what was found."""
    result = oa.optimize_anything(
        entry("adagrad").source,
        evaluator=evaluator(["logistic"], share=0.2),
        objective="An optimizer class that trains small networks well.",
        config=oa.GEPAConfig(
            engine=oa.EngineConfig(max_metric_calls=8, parallel=False),
            reflection=oa.ReflectionConfig(reflection_lm=scripted),
        ),
    )
    score = result.val_aggregate_scores[result.best_idx]
    print(f"{len(result.candidates)} candidates; the best one's score: {score:.3f}")
    print(result.best_candidate)


if __name__ == "__main__":
    main()
