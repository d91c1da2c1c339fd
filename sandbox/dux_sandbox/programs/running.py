"""Runs a program on rows: in the jail, or where somebody asked for it in this process.

Nothing here keeps a program from anything.
"""

import random
import sys
import types
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.findings import digest_of
from dux_sandbox.programs.contract import FIT_PREDICT, PARTS, WANTED
from dux_sandbox.programs.hparams import Hparams
from dux_sandbox.programs.training import answers, trained


@dataclass(frozen=True)
class Rows:
    """What a program is given; never the targets of the rows that it predicts.

    Attributes:
        x_train: (rows, features), float32.
        y_train: (rows,), float32; int64 where they are classes, from 0.
        x_eval: (rows to predict, features), float32.
        classes: how many classes there are; 0: the targets are numbers.
    """

    x_train: Any
    y_train: Any
    x_eval: Any
    classes: int = 0


def file_of(source: str) -> str:
    """The name that a program's frames have: that of a rule's, so a line is found."""
    return f"<rule {digest_of(source)[:12]}>"


def predictions(source: str, rows: Rows, seed: int) -> Any:
    """Run a program; what it says of `x_eval`.

    Returns:
        (rows to predict,), float64: numbers, or classes.

    Raises:
        Anything that the program raises; ValueError where it answers nonsense.
    """
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    module = types.ModuleType("program")
    held = vars(module)
    # Classes look their module up; that of another program must not be found.
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, file_of(source), "exec", dont_inherit=True), held)
        x, y, e = (np.array(a) for a in (rows.x_train, rows.y_train, rows.x_eval))
        if FIT_PREDICT in held:
            said = held[FIT_PREDICT](x, y, e, seed)
        elif all(name in held for name in PARTS):
            said = _ours(held, rows, x, y, e)
        else:
            raise ValueError(f"it defines too little; {WANTED} was wanted")
        return _as_numbers(said, len(rows.x_eval), rows.classes)
    finally:
        if before is None:
            sys.modules.pop(module.__name__, None)
        else:
            sys.modules[module.__name__] = before


def _ours(held: dict[str, Any], rows: Rows, x: Any, y: Any, e: Any) -> Any:
    outputs = rows.classes or 1
    hparams = Hparams.of(held["HPARAMS"], bool(rows.classes))
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    model = trained(held["build"], held["make_optimizer"], hparams, *tensors, outputs)
    return answers(model, torch.from_numpy(e), outputs)


def _as_numbers(said: Any, rows: int, classes: int) -> Any:
    """Predictions as float64, one a row; of scores by class the highest one's class."""
    import numpy as np

    if isinstance(said, torch.Tensor):
        said = said.detach().cpu().numpy()
    found = np.asarray(said)
    if found.shape == (rows, 1):
        found = found.reshape(rows)
    if classes > 1 and found.shape == (rows, classes):
        if not np.isfinite(found).all():
            raise ValueError("its scores are not finite")
        found = found.argmax(axis=1)
    if found.shape != (rows,):
        raise ValueError(
            f"its predictions have the shape {found.shape}; ({rows},) was wanted"
        )
    return np.ascontiguousarray(found, dtype="<f8")
