"""Five families of models of scikit-learn, in the spaces of HPOBench.

Names, ranges, scales and defaults are HPOBench's. What it varies as a fidelity is fixed
lower here, so that an evaluation takes a tenth of a second, and the MLP is at most 256
units wide with batches of at least 16 rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dux_prompts.tuning.hyperparameters import real, whole
from dux_prompts.tuning.number import Number

Spaces = Mapping[str, Number]
Build = Callable[[dict[str, Any], int, int, int], Any]


@dataclass(frozen=True)
class Family:
    """One kind of model.

    Attributes:
        name: as in the name of a task.
        words: what a prompt calls it.
        space: its hyperparameters.
        build: configuration, features, training rows and seed to a classifier.
        library_default: features and training rows to what scikit-learn would take,
            as a point of the space.
    """

    name: str
    words: str
    space: Spaces
    build: Build
    library_default: Callable[[int, int], dict[str, Any]]


def _power(low: int, high: int, default: float) -> Number:
    return real(2.0**low, 2.0**high, log=True, default=default)


def _lr(config: dict[str, Any], features: int, rows: int, seed: int) -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(
        loss="log_loss",
        learning_rate="adaptive",
        tol=None,
        max_iter=100,
        random_state=seed,
        **config,
    )


def _svm(config: dict[str, Any], features: int, rows: int, seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(random_state=seed, cache_size=200, max_iter=50_000, **config)


def _rf(config: dict[str, Any], features: int, rows: int, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    used = max(1, round(features ** config["max_features"]))
    held = {**config, "max_features": int(used)}
    return RandomForestClassifier(n_estimators=64, n_jobs=1, random_state=seed, **held)


def _mlp(config: dict[str, Any], features: int, rows: int, seed: int) -> Any:
    from sklearn.neural_network import MLPClassifier

    held = dict(config)
    layers = (held.pop("width"),) * held.pop("depth")
    held["batch_size"] = min(held["batch_size"], rows)
    return MLPClassifier(layers, max_iter=20, random_state=seed, **held)


def _histgb(config: dict[str, Any], features: int, rows: int, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        early_stopping=False, max_iter=50, random_state=seed, **config
    )


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "lr",
            "logistic regression trained by SGD (scikit-learn SGDClassifier, "
            "learning_rate='adaptive', L2 penalty alpha)",
            {
                "alpha": real(1e-5, 1.0, log=True, default=1e-3),
                "eta0": real(1e-5, 1.0, log=True, default=1e-2),
            },
            _lr,
            lambda features, rows: {"alpha": 1e-4, "eta0": 0.01},
        ),
        Family(
            "svm",
            "support vector machine with an RBF kernel (scikit-learn SVC)",
            {"C": _power(-10, 10, 1.0), "gamma": _power(-10, 10, 0.1)},
            _svm,
            lambda features, rows: {"C": 1.0, "gamma": 1.0 / features},
        ),
        Family(
            "rf",
            "random forest (scikit-learn RandomForestClassifier, 64 trees; "
            "max_features is the exponent e in n_features ** e)",
            {
                "max_depth": whole(1, 50, log=True, default=10),
                "min_samples_split": whole(2, 128, log=True, default=32),
                "max_features": real(0.0, 1.0, default=0.5),
                "min_samples_leaf": whole(1, 20, default=1),
            },
            _rf,
            lambda features, rows: {
                "max_depth": 50,
                "min_samples_split": 2,
                "max_features": 0.5,
                "min_samples_leaf": 1,
            },
        ),
        Family(
            "mlp",
            "multilayer perceptron (scikit-learn MLPClassifier, ReLU, Adam, 20 epochs)",
            {
                "depth": whole(1, 3, default=3),
                "width": whole(16, 256, log=True, default=64),
                "batch_size": whole(16, 256, log=True, default=32),
                "alpha": real(1e-8, 1.0, log=True, default=1e-3),
                "learning_rate_init": real(1e-5, 1.0, log=True, default=1e-3),
            },
            _mlp,
            lambda features, rows: {
                "depth": 1,
                "width": 100,
                "batch_size": min(200, rows),
                "alpha": 1e-4,
                "learning_rate_init": 1e-3,
            },
        ),
        Family(
            "histgb",
            "histogram gradient boosting (scikit-learn HistGradientBoostingClassifier, "
            "50 trees)",
            {
                "max_depth": whole(6, 30, log=True, default=6),
                "max_leaf_nodes": whole(2, 64, log=True, default=32),
                "learning_rate": _power(-10, 0, 0.1),
                "l2_regularization": _power(-10, 10, 0.1),
            },
            _histgb,
            lambda features, rows: {
                "max_depth": 30,
                "max_leaf_nodes": 31,
                "learning_rate": 0.1,
                "l2_regularization": 2.0**-10,
            },
        ),
    )
}
