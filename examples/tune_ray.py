"""Ray Tune asks a language model, through Optuna's searcher.

pip install 'ray[tune]' 'dux-agent[optuna]'
python examples/tune_ray.py             a written rule, no key, no download
LM=openai:gpt-4o python examples/tune_ray.py
"""

import os

import optuna
from ray import tune
from ray.tune.search import ConcurrencyLimiter
from ray.tune.search.optuna import OptunaSearch

from dux_agent.integrations.optuna import LMSampler

optuna.logging.set_verbosity(optuna.logging.WARNING)


def objective(config: dict) -> dict:
    return {"error": (config["x"] - 1) ** 2 + (config["kind"] == "b")}


sampler = LMSampler(
    lm=os.environ.get("LM", "offline"), task="A bowl, and two kinds of it.", seed=0
)
search = OptunaSearch(metric="error", mode="min", sampler=sampler)
tuner = tune.Tuner(
    objective,
    param_space={"x": tune.uniform(-5.0, 5.0), "kind": tune.choice(["a", "b"])},
    tune_config=tune.TuneConfig(
        # One after the other: each proposal is made of what the others came to.
        search_alg=ConcurrencyLimiter(search, max_concurrent=1),
        num_samples=8,
    ),
    run_config=tune.RunConfig(verbose=0),
)
best = tuner.fit().get_best_result(metric="error", mode="min")
print(f"best {best.metrics['error']:.4f}: {best.config}")
