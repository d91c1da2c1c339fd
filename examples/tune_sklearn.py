"""Tune a model of scikit-learn, and hold random search beside it.

python examples/tune_sklearn.py         a written rule, no key, no download
LM=openai:gpt-4o python examples/tune_sklearn.py
"""

import os

from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import dux_agent

x, y = load_wine(return_X_y=True)


def objective(config: dict) -> float:
    model = make_pipeline(StandardScaler(), SVC(**config))
    return 1 - float(cross_val_score(model, x, y).mean())


study = dux_agent.tune(
    objective,
    {
        "C": dux_agent.real(1e-3, 1e3, log=True, default=1.0),
        "kernel": dux_agent.one_of("rbf", "linear", "poly", default="rbf"),
        "gamma": dux_agent.real(1e-4, 10, log=True, when={"kernel": ("rbf", "poly")}),
        "degree": dux_agent.whole(2, 5, when={"kernel": "poly"}),
    },
    lm=os.environ.get("LM", "offline"),
    task="Support vector machine on three cultivars of wine, 178 rows; the value is "
    "the error of five-fold cross-validation.",
    budget=12,
    control=True,
)
for trial in study:
    print(f"{trial.number:2} {trial.value:.4f} {trial.by}: {trial.config} {trial.why}")
random = min(trial.value for trial in study.control if trial.value is not None)
print(f"best {study.best.value:.4f}: {study.best.config}")
print(f"random search from the same defaults: {random:.4f}")
