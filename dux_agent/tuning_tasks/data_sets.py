"""Ten small data sets, split, encoded and standardized: digits, credit-g, car, ..."""

import csv
import gzip
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dux_agent.errors import DataMissing, MissingExtra

SPLIT_SEED = 1
TRAIN_ROWS, VALIDATION_ROWS = 800, 400  # at most; what is left is for the test

DATA_SETS = {
    "credit-g": "German credit risk, good or bad customer",
    "vehicle": "four kinds of vehicle from silhouette features",
    "kc1": "software modules with or without defects, code metrics",
    "phoneme": "nasal or oral vowels from five harmonics",
    "car": "acceptability of a car, all features ordinal",
    "segment": "seven kinds of outdoor image patches",
    "digits": "handwritten digits, 8 x 8 pixels",
    "pima": "diabetes among Pima women",
    "breast_cancer": "malignant or benign tumours, cell nuclei",
    "wine": "three cultivars of wine, chemical analysis",
}
"""Name -> what a prompt may say of it."""

BUNDLED = ("digits", "breast_cancer", "wine")
"""Those that scikit-learn ships; the others lie in the folder of DUX_DATA."""


@dataclass(frozen=True)
class Data:
    """A fixed split, standardized on the training rows alone.

    Attributes:
        x_train, x_validation, x_test: (rows, features), float32.
        y_train, y_validation, y_test: (rows,), classes from 0, int.
    """

    x_train: Any
    y_train: Any
    x_validation: Any
    y_validation: Any
    x_test: Any
    y_test: Any


def require_sklearn() -> None:
    """Raise MissingExtra where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtra.of(
            "scikit-learn", extra="tune", purpose="a task of dux tune"
        ) from None


def data_file(name: str) -> Path:
    """A file of the tasks' data, in the folder `hpo` of DUX_DATA.

    Raises:
        DataMissing: it is not there.
    """
    folder = os.environ.get("DUX_DATA")
    path = Path(folder or ".") / "hpo" / name
    if not folder or not path.is_file():
        found = (
            f"DUX_DATA={folder} holds no hpo/{name}"
            if folder
            else "DUX_DATA is not set"
        )
        raise DataMissing(
            f"{found}; a folder with it was wanted; point DUX_DATA there, or take a "
            f"task on {', '.join(BUNDLED)}, which need no file."
        )
    return path


@cache
def load(name: str) -> Data:
    """A data set, half of it for training and a quarter each for the other two.

    Raises:
        DataMissing: its file is not there.
        MissingExtra: scikit-learn is not installed.
    """
    require_sklearn()
    import numpy as np
    from sklearn.model_selection import train_test_split

    columns, labels = _bundled(name) if name in BUNDLED else _read(name)
    y = np.unique(labels, return_inverse=True)[1]
    train = min(TRAIN_ROWS, len(y) // 2)
    validation = min(VALIDATION_ROWS, len(y) // 4)
    used, test = train_test_split(
        np.arange(len(y)),
        train_size=train + validation,
        stratify=y,
        random_state=SPLIT_SEED,
    )
    first, second = train_test_split(
        used, train_size=train, stratify=y[used], random_state=SPLIT_SEED
    )
    x = np.hstack([_encoded(column, first) for column in columns]).astype(np.float32)
    parts = [held[rows] for rows in (first, second, test) for held in (x, y)]
    return Data(*parts)


def _encoded(column: Any, train: Any) -> Any:
    """One column as features: standardized where it holds numbers, else one-hot."""
    import numpy as np

    if column.dtype.kind == "f":
        spread = column[train].std() or 1.0
        return ((column - column[train].mean()) / spread)[:, None]
    return (column[:, None] == np.unique(column[train])[None]).astype(float)


def _bundled(name: str) -> tuple[list[Any], Any]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return list(x.T.astype(float)), y


def _read(name: str) -> tuple[list[Any], Any]:
    """The columns of a file, numbers as float, and the classes, its last column."""
    import numpy as np

    with gzip.open(data_file(f"{name}.csv.gz"), "rt", encoding="utf-8") as file:
        table = list(csv.reader(file))[1:]
    columns = []
    for cells in zip(*table, strict=True):
        try:
            columns.append(np.array(cells).astype(float))
        except ValueError:
            columns.append(np.array(cells))
    # A class is a name, also where it is written as a number.
    return columns[:-1], np.array([row[-1] for row in table])
