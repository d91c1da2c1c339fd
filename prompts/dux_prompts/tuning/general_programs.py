"""General programs that name no task: what a study of code tries without a model."""

import random

_PERCEPTRON = """# {why}
import torch
from torch import nn

WIDTH, DEPTH, RATE = {width}, {depth}, {rate}


def build(n_features, n_outputs):
    layers, width = [], n_features
    for _ in range(DEPTH):
        layers += [nn.Linear(width, WIDTH), nn.GELU(), nn.Dropout({dropout})]
        width = WIDTH
    return nn.Sequential(*layers, nn.Linear(width, n_outputs))


def make_optimizer(model):
    return torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay={decay})


HPARAMS = {{"epochs": {epochs}, "batch_size": {batch}, "clip": 1.0, "schedule": "onecycle"}}
"""  # noqa: E501
_FOREST = """# {why}
from sklearn.ensemble import {name}Classifier, {name}Regressor


def fit_predict(x_train, y_train, x_eval, seed):
    classes = y_train.dtype.kind == "i"
    kind = {name}Classifier if classes else {name}Regressor
    model = kind({options}random_state=seed)
    return model.fit(x_train, y_train).predict(x_eval)
"""
_LINEAR = """# A linear model of the features, their squares and their products.
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler


def fit_predict(x_train, y_train, x_eval, seed):
    classes = y_train.dtype.kind == "i"
    last = LogisticRegression(C=0.1, max_iter=500) if classes else RidgeCV()
    degree = 2 if x_train.shape[1] <= 40 else 1
    model = make_pipeline(PolynomialFeatures(degree), StandardScaler(), last)
    return model.fit(x_train, y_train).predict(x_eval)
"""
_BLEND = """# Boosted trees, random trees and neighbours: the mean of what they say.
import numpy as np
from sklearn import ensemble, neighbors


def fit_predict(x_train, y_train, x_eval, seed):
    classes = y_train.dtype.kind == "i"
    end = "Classifier" if classes else "Regressor"
    models = [
        getattr(ensemble, "HistGradientBoosting" + end)(random_state=seed),
        getattr(ensemble, "ExtraTrees" + end)(200, random_state=seed),
        getattr(neighbors, "KNeighbors" + end)(10, weights="distance"),
    ]
    said = []
    for model in models:
        model.fit(x_train, y_train)
        said.append(model.predict_proba(x_eval) if classes else model.predict(x_eval))
    return np.mean(said, axis=0)
"""


def _perceptron(
    width: int, depth: int, rate: float, decay: float, dropout: float, epochs: int
) -> str:
    why = f"A perceptron of {depth} times {width} GELU units, AdamW and one cycle."
    return _PERCEPTRON.format(
        why=why,
        width=width,
        depth=depth,
        rate=rate,
        decay=decay,
        dropout=dropout,
        epochs=epochs,
        batch=64,
    )


def _trees(why: str, name: str, options: str) -> str:
    return _FOREST.format(why=why, name=name, options=options)


GENERAL_PROGRAMS = (
    _perceptron(64, 2, 3e-3, 1e-3, 0.0, 40),
    _trees("Boosted trees as they come.", "HistGradientBoosting", ""),
    _trees(
        "Many slow boosted trees.",
        "HistGradientBoosting",
        "max_iter=400, learning_rate=0.03, l2_regularization=1.0, ",
    ),
    _LINEAR,
    _trees("A forest of random trees.", "ExtraTrees", "n_estimators=300, "),
    _perceptron(256, 3, 1e-3, 1e-2, 0.1, 80),
    _BLEND,
)
"""In the order in which they are tried."""


def drawn_program(rng: random.Random) -> str:
    """A perceptron of drawn numbers."""
    return _perceptron(
        width=rng.choice([16, 32, 64, 128, 256]),
        depth=rng.choice([1, 2, 3]),
        rate=float(f"{10 ** rng.uniform(-4, -1.5):.3g}"),
        decay=float(f"{10 ** rng.uniform(-5, -1):.3g}"),
        dropout=rng.choice([0.0, 0.1, 0.3]),
        epochs=rng.choice([10, 20, 40, 80]),
    )
