"""Tasks of `dux tune --code`: rows, and how what a program says of them is scored."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from dux_agent.errors import BadArgument, MissingExtra
from dux_agent.tuning_tasks.data_sets import (
    DATA_SETS,
    SPLIT_SEED,
    load,
    require_sklearn,
)
from dux_agent.tuning_tasks.taxi import FEATURES, rides
from dux_sandbox.programs.running import Rows

_WORDS = {
    "taxi": "The logarithm of the seconds that a taxi ride takes, standardized.",
    "diabetes": "The progression of diabetes after a year, standardized; much noise.",
}
CODE_TASKS = (*_WORDS, *DATA_SETS)
"""Numbers to predict, then classes."""

_SHUFFLE_SEED = 16


@dataclass(frozen=True, eq=False)
class CodeTask:
    """Rows to train on, and rows whose targets no program ever sees.

    Attributes:
        x_train, y_train: (rows, features) and (rows,), arrays. Targets are numbers, or
            classes as whole numbers from 0.
        x_validation, y_validation: what decides.
        x_test, y_test: kept as a report and never shown; None: there are none.
        description: a few words on the problem, for the prompt.
        seed: of the programs' random numbers.
    """

    x_train: Any
    y_train: Any
    x_validation: Any
    y_validation: Any
    x_test: Any = None
    y_test: Any = None
    description: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        try:
            import numpy as np
        except ImportError:
            raise MissingExtra.of(
                "numpy", extra="tune", purpose="a task of dux tune --code"
            ) from None
        for part in ("train", "validation", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            if x is None and y is None and part == "test":
                continue
            try:
                shapes = np.asarray(x, np.float32).shape, np.asarray(y, float).shape
            except (TypeError, ValueError) as error:
                raise BadArgument(
                    f"x_{part} and y_{part} are no numbers: {error}; numbers, or "
                    f"classes as whole numbers from 0, were wanted; encode them."
                ) from None
            (rows, *features), targets = shapes[0] or (0,), shapes[1]
            alike = features == list(np.shape(self.x_train)[1:]) and len(features) == 1
            if not rows or not alike or targets != (rows,):
                raise BadArgument(
                    f"x_{part} has the shape {shapes[0]} and y_{part} {shapes[1]}; "
                    f"(rows, features), as many features in each part, and (rows,) "
                    f"were wanted."
                )
        if self.classes and np.min(self.y_train) < 0:
            raise BadArgument(
                f"y_train holds the class {np.min(self.y_train)}; whole numbers from 0 "
                f"were wanted; encode them."
            )

    @property
    def classes(self) -> int:
        """How many classes there are; 0: the targets are numbers."""
        import numpy as np

        whole = np.asarray(self.y_train).dtype.kind in "iub"
        if not whole:
            return 0
        return int(max(np.max(self.y_train), np.max(self.y_validation))) + 1

    @property
    def measure(self) -> str:
        """What the value of a program is."""
        return "error rate" if self.classes else "mean squared error"

    @property
    def task(self) -> str:
        """What a prompt says of it."""
        import numpy as np

        rows, features = np.shape(self.x_train)
        kind = f"{self.classes} classes" if self.classes else "numbers"
        return (
            f"{self.description} {rows} training rows, {features} features; the "
            f"targets are {kind}. Value: {self.measure} on "
            f"{len(self.y_validation)} validation rows."
        ).strip()

    @property
    def rows(self) -> Rows:
        """What a program is given.

        Rows of validation and test are shuffled together: nothing tells them apart.
        """
        import numpy as np

        parts = [self.x_validation, *([] if self.x_test is None else [self.x_test])]
        whole = np.concatenate([np.asarray(each, np.float32) for each in parts])
        y = np.asarray(self.y_train, np.int64 if self.classes else np.float32)
        x = np.asarray(self.x_train, np.float32)
        return Rows(x, y, whole[self._order(len(whole))], self.classes)

    def score(self, predictions: Any) -> dict[str, Any]:
        """The value of what a program says of `rows`; the test error as a report."""
        import numpy as np

        said = np.empty(len(predictions))
        said[self._order(len(said))] = predictions
        count = len(self.y_validation)
        report = {}
        if self.y_test is not None:
            report["test_error"] = self._error(said[count:], self.y_test)
        return {"value": self._error(said[:count], self.y_validation), "report": report}

    def _error(self, said: Any, targets: Any) -> float:
        import numpy as np

        with np.errstate(over="ignore"):  # an error without end is told as one
            targets = np.asarray(targets)
            wrong = said != targets if self.classes else (said - targets) ** 2
            return float(np.mean(wrong))

    def _order(self, rows: int) -> Any:
        import numpy as np

        return np.random.default_rng(_SHUFFLE_SEED).permutation(rows)


@cache
def code_task(name: str) -> CodeTask:
    """The task of that name in `CODE_TASKS`.

    Raises:
        DataMissing: the data set's file is not there.
        MissingExtra: scikit-learn is not installed.
    """
    require_sklearn()
    if name in DATA_SETS:
        rows = vars(load(name))
        return CodeTask(**rows, description=f"{DATA_SETS[name].capitalize()}.")
    return _of_numbers(name)


def _of_numbers(name: str) -> CodeTask:
    """Half of the rows to train on; features and targets standardized on them."""
    import numpy as np
    from sklearn.datasets import load_diabetes

    names: list[str] = list(FEATURES)
    if name == "taxi":
        x, y = rides()
    else:
        held = load_diabetes(scaled=False)
        x, y, names = held.data, held.target, list(held.feature_names)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(y))
    train, validation, test = np.split(order, [len(y) // 2, 3 * len(y) // 4])
    x = ((x - x[train].mean(0)) / x[train].std(0)).astype(np.float32)
    y = ((y - y[train].mean()) / y[train].std()).astype(np.float32)
    return CodeTask(
        x[train],
        y[train],
        x[validation],
        y[validation],
        x[test],
        y[test],
        description=f"{_WORDS[name]} Features, standardized: {', '.join(names)}.",
    )
