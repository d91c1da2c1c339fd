"""HPOBench's own table of its neural network: eight of the paper's tasks by look-up.

Its code trains on the validation rows too, so these errors flatter what overfits: use
them to compare with published numbers, not to choose a method.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dux_agent.tuning_tasks import data_sets
from dux_agent.tuning_tasks.data_sets import data_file
from dux_prompts.tuning.hyperparameters import real, whole
from dux_prompts.tuning.number import Number

TABLES = (
    "australian",
    "blood_transfusion",
    "car",
    "credit_g",
    "kc1",
    "phoneme",
    "segment",
    "vehicle",
)

# In the order of the table's axes; a fine scale of ten steps, rounded as there.
_AXES: dict[str, tuple[float, ...]] = {
    "alpha": tuple(10 ** (-8 + 8 * place / 9) for place in range(10)),
    "batch_size": (4, 6, 10, 16, 25, 40, 64, 101, 161, 256),
    "depth": (1, 2, 3),
    "learning_rate_init": tuple(10 ** (-5 + 5 * place / 9) for place in range(10)),
    "width": (16, 25, 40, 64, 101, 161, 256, 406, 645, 1024),
}
_FILE = "hpobench_nn.npz"
_WHOLE_ERROR = 65535  # errors are kept as 16 bit


@dataclass(frozen=True)
class TableTask:
    """One data set of the table; a value between two of its own is the nearer one's.

    Attributes:
        data_set: a name in `TABLES`.
    """

    data_set: str

    made_of = (data_sets.__name__,)
    packages = ("numpy",)

    @property
    def files(self) -> tuple[Path, ...]:
        """The table."""
        return (data_file(_FILE),)

    @property
    def space(self) -> Mapping[str, Number]:
        """HPOBench's, not narrowed."""
        return {
            "depth": whole(1, 3, default=3),
            "width": whole(16, 1024, log=True, default=64),
            "batch_size": whole(4, 256, log=True, default=32),
            "alpha": real(1e-8, 1.0, log=True, default=1e-3),
            "learning_rate_init": real(1e-5, 1.0, log=True, default=1e-3),
        }

    @property
    def task(self) -> str:
        """What a prompt says of it."""
        return (
            f"Model: multilayer perceptron (scikit-learn MLPClassifier). Data: "
            f"{self.data_set.replace('_', ' ')}, from OpenML. Value: validation error."
        )

    @property
    def defaults(self) -> tuple[dict[str, Any], ...]:
        """HPOBench's."""
        return ({name: each.start for name, each in self.space.items()},)

    def __call__(self, config: Mapping[str, Any]) -> float:
        """The error in the table.

        Raises:
            DataMissing: the table is not there.
        """
        place = tuple(
            min(
                range(len(values)),
                key=lambda at: abs(math.log(values[at]) - math.log(config[axis])),
            )
            for axis, values in _AXES.items()
        )
        return float(_tables()[self.data_set][place]) / _WHOLE_ERROR


@cache
def _tables() -> dict[str, Any]:
    import numpy as np

    with np.load(data_file(_FILE), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
