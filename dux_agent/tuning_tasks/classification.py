"""A family of models on a data set: the validation error as an objective."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dux_agent.tuning_tasks import data_sets, families
from dux_agent.tuning_tasks.data_sets import DATA_SETS, load
from dux_agent.tuning_tasks.families import FAMILIES
from dux_prompts.tuning.number import Number

_EIGHT = tuple(DATA_SETS)[:8]
SUITES: dict[str, tuple[str, ...]] = {
    "paper32": tuple(f"{f}:{d}" for f in ("lr", "svm", "rf", "mlp") for d in _EIGHT),
    "histgb8": tuple(f"histgb:{d}" for d in _EIGHT),
    "bundled": tuple(f"{f}:{d}" for f in FAMILIES for d in ("breast_cancer", "wine")),
}
"""The paper's four families on eight data sets, boosting on them, and a few more."""


@dataclass(frozen=True)
class ClassificationTask:
    """One model family on one data set; calling it trains and validates once.

    Attributes:
        family: a name in `FAMILIES`.
        data_set: a name in `DATA_SETS`.
        seed: of the model; the split has its own.
    """

    family: str
    data_set: str
    seed: int = 0

    made_of = (families.__name__, data_sets.__name__)
    packages = ("numpy", "scikit-learn")

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read, where scikit-learn does not ship it."""
        own = self.data_set in data_sets.BUNDLED
        return () if own else (data_sets.data_file(f"{self.data_set}.csv.gz"),)

    @property
    def space(self) -> Mapping[str, Number]:
        """What is tuned."""
        return FAMILIES[self.family].space

    @property
    def task(self) -> str:
        """What a prompt says of it."""
        data = load(self.data_set)
        rows, features = data.x_train.shape
        return (
            f"Model: {FAMILIES[self.family].words}. Data: {DATA_SETS[self.data_set]}; "
            f"{rows} training rows, {features} standardized or one-hot features, "
            f"{len(set(data.y_train.tolist()))} classes. Value: validation error rate."
        )

    @property
    def defaults(self) -> tuple[dict[str, Any], ...]:
        """What scikit-learn would take, then what HPOBench calls the default."""
        rows, features = load(self.data_set).x_train.shape
        family = FAMILIES[self.family]
        own = {name: each.start for name, each in family.space.items()}
        return family.library_default(features, rows), own

    def __call__(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Train once: the validation error, and the test error as a report.

        A model that trains into nonsense is scored like any other; where scikit-learn
        gives up on it, the errors are 1.

        Raises:
            DataMissing: the data set's file is not there.
        """
        import numpy as np

        data = load(self.data_set)
        rows, features = data.x_train.shape
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                build = FAMILIES[self.family].build
                model = build(dict(config), features, rows, self.seed)
                model.fit(data.x_train, data.y_train)
                validation = np.mean(
                    model.predict(data.x_validation) != data.y_validation
                )
                test = np.mean(model.predict(data.x_test) != data.y_test)
            except (ValueError, FloatingPointError, OverflowError):
                validation = test = 1.0
        return {"value": float(validation), "report": {"test_error": float(test)}}
