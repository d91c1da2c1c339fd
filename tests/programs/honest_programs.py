"""Programs as a language model writes them; each trains in the jail as outside."""

from __future__ import annotations

_PARTS = """
import torch
from torch import nn

def build(n_features):
    return {model}

def make_optimizer(model):
    return {optimizer}

HPARAMS = {{"epochs": 3, "batch_size": 16, {more}}}
"""
_FIT = """
import numpy as np
{imports}

def fit_predict(x_train, y_train, x_eval, seed):
    {body}
"""


def parts(
    model="nn.Sequential(nn.Linear(n_features, 8), nn.ReLU(), nn.Linear(8, 1))",
    optimizer="torch.optim.AdamW(model.parameters(), lr=1e-2)",
    more="",
    before="",
):
    """A program for our loop."""
    return before + _PARTS.format(model=model, optimizer=optimizer, more=more)


def fit(imports, body):
    """A program that does everything itself."""
    return _FIT.format(imports=imports, body=body)


def estimator(module, made):
    """A model of scikit-learn's."""
    body = f"return {made}.fit(x_train, y_train).predict(x_eval)"
    return fit(f"from sklearn.{module} import *", body)


_OWN_OPTIMIZER = """
import torch
class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, beta=0.9):
        super().__init__(params, dict(lr=lr, beta=beta))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if len(state) == 0:
                    state["m"] = torch.zeros_like(p)
                state["m"].lerp_(p.grad, 1 - group["beta"])
                p.add_(state["m"].sign(), alpha=-group["lr"])
"""
_OWN_MODULE = """
from torch import nn
class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.inner = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width))
    def forward(self, x):
        return x + nn.functional.gelu(self.inner(x))
"""
_LOADED = """
    from torch import nn
    from torch.utils.data import DataLoader, TensorDataset
    net = nn.Sequential(nn.Linear(x_train.shape[1], 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=12)
    rows = TensorDataset(torch.tensor(x_train), torch.tensor(y_train))
    for _ in range(3):
        for a, b in DataLoader(rows, batch_size=16, shuffle=True, num_workers=0):
            optimizer.zero_grad()
            loss = nn.functional.huber_loss(net(a).squeeze(1), b)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    net.eval()
    return net(torch.tensor(x_eval)).detach().squeeze(1)
"""
_AVERAGED = """
    from torch.optim.swa_utils import AveragedModel
    net = torch.nn.Linear(x_train.shape[1], 1)
    averaged = AveragedModel(net)
    optimizer = torch.optim.NAdam(net.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        said = net(torch.tensor(x_train)).squeeze(1)
        ((said - torch.tensor(y_train)) ** 2).mean().backward()
        optimizer.step()
        averaged.update_parameters(net)
    return averaged(torch.tensor(x_eval)).detach().numpy()
"""
_RIDGE = """
    a = np.c_[x_train, np.ones(len(x_train))]
    w = np.linalg.solve(a.T @ a + np.eye(a.shape[1]), a.T @ y_train)
    return np.c_[x_eval, np.ones(len(x_eval))] @ w
"""
_FOLDS = """
    folds = KFold(3, shuffle=True, random_state=seed)
    def score(a):
        return cross_val_score(Ridge(a), x_train, y_train, cv=folds).mean()
    best = max((0.1, 1, 10), key=score)
    return Ridge(best).fit(x_train, y_train).predict(x_eval)
"""
_SCIPY = """
    def loss(w):
        error = x_train @ w[:-1] + w[-1] - y_train
        return (error ** 2).mean() + 1e-3 * (w ** 2).sum()
    w = minimize(loss, np.zeros(x_train.shape[1] + 1)).x
    return x_eval @ w[:-1] + w[-1]
"""
_BY_ALL_MEANS = """
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    x, y = torch.from_numpy(x_train), torch.from_numpy(y_train)
    layer = torch.nn.Linear(x.shape[1], 1)
    prune.l1_unstructured(layer, "weight", 0.25)
    slope = torch.func.vmap(torch.func.grad(lambda row: row.square().sum()))(x)
    slope = slope + 0 * torch.func.jacrev(torch.sin)(x[0]).sum()
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(5):
        optimizer.zero_grad()
        said = checkpoint(layer, x + 0 * slope, use_reentrant=False)[:, 0]
        (said - y).square().mean().backward()
        optimizer.step()
    kept = io.BytesIO()
    torch.save(layer.state_dict(), kept)
    torch.use_deterministic_algorithms(False)
    with torch.no_grad():
        return layer(torch.from_numpy(x_eval))[:, 0].numpy()
"""
_BLEND = """
    made = [HistGradientBoostingRegressor(max_iter=20, random_state=seed), Ridge()]
    return np.mean([m.fit(x_train, y_train).predict(x_eval) for m in made], axis=0)
"""

HONEST = {
    "a perceptron": parts(),
    "with a clip and a cosine": parts(more='"clip": 1.0, "schedule": "cosine"'),
    "with one cycle and huber": parts(more='"loss": "huber", "schedule": "onecycle"'),
    "with the mean error, falling": parts(more='"loss": "mae", "schedule": "linear"'),
    "with batch norm": parts(
        "nn.Sequential(nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))"
    ),
    "with dropout": parts(
        "nn.Sequential(nn.Linear(n_features, 8), nn.Dropout(0.2), nn.Linear(8, 1))"
    ),
    "of a module of its own": parts(
        "nn.Sequential(nn.Linear(n_features, 8), Residual(8), nn.Linear(8, 1))",
        before=_OWN_MODULE,
    ),
    "with an optimizer of its own": parts(
        optimizer="Lion(model.parameters(), lr=1e-2)", before=_OWN_OPTIMIZER
    ),
    "with LBFGS": parts(optimizer="torch.optim.LBFGS(model.parameters(), lr=0.1)"),
    "with a rate of HPARAMS": parts(
        optimizer='torch.optim.SGD(model.parameters(), lr=HPARAMS["lr"])',
        more='"lr": 0.05',
    ),
    "with a loader and one cycle": fit("import torch", _LOADED.strip()),
    "with averaged weights": fit("import torch", _AVERAGED.strip()),
    "a ridge by NumPy": fit("", _RIDGE.strip()),
    "a minimum by SciPy": fit("from scipy.optimize import minimize", _SCIPY.strip()),
    "boosted trees": estimator(
        "ensemble",
        "HistGradientBoostingRegressor(max_iter=20, random_state=seed, "
        "early_stopping=False)",
    ),
    "a forest": estimator("ensemble", "RandomForestRegressor(20, random_state=seed)"),
    "more random trees": estimator(
        "ensemble", "ExtraTreesRegressor(20, random_state=seed)"
    ),
    "support vectors": estimator("svm", "SVR(C=2.0)"),
    "neighbours": estimator("neighbors", "KNeighborsRegressor(3)"),
    "a Gaussian process": estimator("gaussian_process", "GaussianProcessRegressor()"),
    "scikit-learn's perceptron": estimator(
        "neural_network",
        "MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=seed)",
    ),
    "a pipeline": fit(
        "from sklearn.linear_model import LassoCV\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import PolynomialFeatures, StandardScaler",
        "made = make_pipeline(StandardScaler(), PolynomialFeatures(2), LassoCV())\n"
        "    return made.fit(x_train, y_train).predict(x_eval)",
    ),
    "chosen by folds": fit(
        "from sklearn.linear_model import Ridge\n"
        "from sklearn.model_selection import KFold, cross_val_score",
        _FOLDS.strip(),
    ),
    "repeatable by all means": fit(
        "import io\nimport torch\nfrom torch.nn.utils import prune\n"
        "from torch.utils.checkpoint import checkpoint",
        _BY_ALL_MEANS.strip(),
    ),
    "a blend": fit(
        "from sklearn.ensemble import HistGradientBoostingRegressor\n"
        "from sklearn.linear_model import Ridge",
        _BLEND.strip(),
    ),
}

CLASSES = {
    "a perceptron": parts(
        "nn.Linear(n_features, 3)", before="# one output for each class\n"
    ),
    "that is told the classes": parts("nn.Linear(n_features, n_outputs)").replace(
        "def build(n_features)", "def build(n_features, n_outputs)"
    ),
    "boosted trees": estimator(
        "ensemble", "HistGradientBoostingClassifier(max_iter=5, random_state=seed)"
    ),
    "scores by class": fit(
        "from sklearn.linear_model import LogisticRegression",
        "return LogisticRegression().fit(x_train, y_train).predict_proba(x_eval)",
    ),
}
