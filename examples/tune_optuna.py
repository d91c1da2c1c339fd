"""A language model as Optuna's sampler: one line of an ordinary study.

python examples/tune_optuna.py          a written rule, no key, no download
LM=openai:gpt-4o python examples/tune_optuna.py
"""

import os

import optuna
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from dux_agent.integrations.optuna import LMSampler

x, y = load_digits(return_X_y=True)
parts = train_test_split(x / 16, y, train_size=600, test_size=400, random_state=0)
x_train, x_validation, y_train, y_validation = parts


def objective(trial: optuna.Trial) -> float:
    kernel = trial.suggest_categorical("kernel", ["rbf", "linear"])
    config = {"C": trial.suggest_float("C", 1e-3, 1e3, log=True), "kernel": kernel}
    if kernel == "rbf":  # define-by-run: the sampler finds out what it depends on
        config["gamma"] = trial.suggest_float("gamma", 1e-4, 10, log=True)
    model = SVC(**config).fit(x_train, y_train)
    return 1 - float(model.score(x_validation, y_validation))


optuna.logging.set_verbosity(optuna.logging.WARNING)
sampler = LMSampler(
    lm=os.environ.get("LM", "offline"),
    task="Support vector machine on 8 x 8 pictures of digits; validation error.",
    seed=0,
)
study = optuna.create_study(sampler=sampler)
# Settings that you trust are evaluated first, and told to whoever samples.
study.enqueue_trial({"kernel": "rbf", "C": 1.0, "gamma": 0.1})
study.optimize(objective, n_trials=10)

for trial in study.trials:
    who, why = trial.user_attrs["dux:by"], trial.user_attrs["dux:why"]
    print(f"{trial.number} {trial.value:.4f} {who}: {trial.params} {why}")
print(f"best {study.best_value:.4f}: {study.best_params}")
