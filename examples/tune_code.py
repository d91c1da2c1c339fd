"""Have a language model write the program that trains, model and optimizer and all.

python examples/tune_code.py            a written list of programs, no key, no download
LM=openai:gpt-4o python examples/tune_code.py

Each program runs in a process of its own, in a jail: without files, without network,
and without the targets that it is scored by. Linux with Landlock and seccomp is needed.
"""

import os

from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import dux_agent

x, y = load_wine(return_X_y=True)
x_train, x_rest, y_train, y_rest = train_test_split(
    x, y, train_size=0.5, random_state=0
)
x_validation, x_test, y_validation, y_test = train_test_split(
    x_rest, y_rest, train_size=0.5, random_state=0
)
scale = StandardScaler().fit(x_train)

study = dux_agent.tune_code(
    dux_agent.CodeTask(
        scale.transform(x_train),
        y_train,
        scale.transform(x_validation),
        y_validation,
        scale.transform(x_test),
        y_test,
        description="Three cultivars of wine by thirteen measurements, standardized.",
    ),
    lm=os.environ.get("LM", "offline"),
    budget=4,
)
for trial in study:
    source = trial.config["source"]
    value = trial.error if trial.value is None else f"{trial.value:.4f}"
    print(f"{trial.number} {value} {trial.by}: {source.splitlines()[0]}")
best = study.best
print(f"best {best.value:.4f}, test error {best.report['test_error']:.4f}:")
print(best.config["source"])
