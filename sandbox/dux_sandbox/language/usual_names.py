"""What a number that a constructor demands usually is, by the words of its name."""

import ast
import re

# Of most of torch's own optimizers.
USUAL_RATE = 1e-3
RATES = frozenset(["lr", "learning_rate"])
_BY_NAME: dict[str, object] = {
    "lr": USUAL_RATE,
    "learning_rate": USUAL_RATE,
    "weight_decay": 0.0,
    "betas": (0.9, 0.999),
    "beta1": 0.9,
    "beta2": 0.999,
    "beta3": 0.999,
    "wd": 0.0,
    "nesterov": False,
    "amsgrad": False,
    "maximize": False,
    # Of those that look around a step, or ahead of several.
    "rho": 0.05,
    "alpha": 0.5,
    "k": 5,
    "gamma": 0.9,
    "mu": 0.9,
    "tau": 0.5,
    "nu": 0.9,
    "eta": 1e-3,
    "delta": 0.1,
}
# By a word of the name, the first that is there. Counts are whole numbers.
_BY_WORD: tuple[tuple[str, object], ...] = (
    ("total max horizon epochs training", 1000),
    ("steps iters iterations warmup freq frequency every interval period", 10),
    ("data dataset samples examples", 1000),
    ("batch", 32),
    ("workers world replicas clients nodes", 1),
    ("lr learning", USUAL_RATE),
    ("rank", 4),
    ("seed", 0),
    ("decay dampening", 0.0),
    ("momentum beta", 0.9),
    ("eps epsilon", 1e-8),
    ("damping lambda lambd lam lmbda", 1e-3),
    ("noise sigma std temperature", 1e-2),
    ("clip clipping norm threshold radius scale scaling coef coeff coefficient", 1.0),
)
_WORDS = {word: value for words, value in _BY_WORD for word in words.split()}
_ORDER = list(_WORDS)


def usual(argument: ast.arg) -> object:
    """A usual value for an argument; None where its name says nothing.

    >>> usual(ast.arg("momentum_weight")), usual(ast.arg("total_steps"))
    (0.9, 1000)
    """
    if argument.arg in _BY_NAME:
        return _BY_NAME[argument.arg]
    hint = "" if argument.annotation is None else ast.unparse(argument.annotation)
    if hint == "bool":
        return False
    words = set(re.findall(r"[a-z]+", argument.arg.lower()))
    found = next((word for word in _ORDER if word in words), None)
    return None if found is None else _WORDS[found]
