"""What runs in the process that trains a program, before and in the jail.

The warm process has loaded and exercised what a program may use, and never held a row.
The child locks itself before it hears the source, and is told the training rows and
the rows to predict; the targets of those never come here.
"""

import importlib
import os
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from importlib.machinery import BuiltinImporter, FrozenImporter
from typing import Any, NoReturn

import torch

from dux_sandbox.faults import failure
from dux_sandbox.findings import Finding
from dux_sandbox.process import jail
from dux_sandbox.process.channel import Channel, ChannelBroken
from dux_sandbox.process.plain_worker import MODULES
from dux_sandbox.programs.running import Rows, predictions

# Beside what optimizers import: what training code imports.
_MODULES = """
__future__ bisect cmath colorsys concurrent.futures decimal enum fractions gc hashlib
heapq io multiprocessing pickle pprint queue secrets statistics struct textwrap
threading timeit traceback types weakref zlib
scipy.cluster.hierarchy scipy.fft scipy.integrate scipy.interpolate scipy.linalg
scipy.ndimage scipy.optimize scipy.signal scipy.sparse.csgraph scipy.sparse.linalg
scipy.spatial.distance scipy.special scipy.stats
torch.distributions torch.fft torch.func torch.linalg torch.nn.utils.parametrizations
torch.nn.utils.parametrize torch.nn.utils.prune torch.nn.utils.rnn
torch.optim.swa_utils torch.special
""".split()
_LEFT_OUT = ("matplotlib", "pandas", "polars", "pyarrow")
_NOT_THERE = "no file, process, thread or network is there; n_jobs=1, num_workers=0"
_LOADED = "torch, numpy, scipy, scikit-learn and the standard library's usual modules"


def rehearse() -> None:
    """Load and exercise what a program may use: nothing can be opened after the lock.

    Whatever of it fails, or is not installed, is not there for a program either.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # of which nothing can be opened later
    # scikit-learn takes them where they are, and one of them starts a thread.
    without: dict[str, Any] = dict.fromkeys(_LEFT_OUT)
    sys.modules.update(without)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in (*MODULES, *_MODULES):
            with suppress(Exception):
                importlib.import_module(name)
        for part in (_networks, _lazy_parts, _estimators):
            with suppress(Exception):
                part()
    for name in _LEFT_OUT:
        del sys.modules[name]


def serve(channel: Channel, request: dict[str, Any]) -> None:
    """Lock this process, then run the program that one message holds.

    Args:
        channel: to the trainer.
        request: "memory", bytes that the process may add.
    """
    warnings.simplefilter("ignore")
    _refuse_further_modules()
    # A thread cannot be started: asking for more ends the process in C.
    vars(torch)["set_num_threads"] = lambda count: None
    os.environ.clear()
    rows = jail.rows_of(jail.lock(request["memory"], parent=request["parent"]))
    channel.send({"layers": rows, "reached": list(jail.within_reach())})
    try:
        message, blob = channel.receive(None)
    except ChannelBroken:
        return
    reply: dict[str, Any] = {"id": message["id"]}
    blobs: list[bytes | memoryview] = []
    try:
        said = predictions(message["source"], _rows_in(message, blob), message["seed"])
        blobs.append(said.tobytes())
    except MemoryError:
        reply["error"] = _memory().as_dict()
    # Whatever a program raises is its own doing: the trainer is told.
    except BaseException as error:
        reply["error"] = _finding_of(error).as_dict()
    channel.send(reply, blobs)


def _rows_in(message: dict[str, Any], blob: bytearray) -> Rows:
    """The arrays of a message, in the order in which it lists them."""
    import numpy as np

    arrays, at = {}, 0
    for name, dtype, shape in message["arrays"]:
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(blob, dtype, count, at).reshape(shape)
        at += arrays[name].nbytes
    return Rows(**arrays, classes=message["classes"])


def _finding_of(error: BaseException) -> Finding:
    found = failure(error).finding
    if "allocate memory" in found.message:
        return _memory()
    if isinstance(error, PermissionError):
        return Finding("jail", found.line, found.message, _NOT_THERE)
    return Finding(
        found.rule, found.line, found.message, "mend it, and train to the end"
    )


def _memory() -> Finding:
    said = "the program asked for more memory than it may use"
    return Finding("memory", None, said, "a smaller model, or smaller batches")


class _NoFurtherModule:
    """Finds no module, and says why: Python's own finders would look for files."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> NoReturn:
        raise ModuleNotFoundError(
            f"{name} cannot be imported here; there are {_LOADED}", name=name
        )


def _refuse_further_modules() -> None:
    kept = [each for each in sys.meta_path if each in (BuiltinImporter, FrozenImporter)]
    sys.meta_path[:] = [*kept, _NoFurtherModule()]


def _networks() -> None:
    """Every optimizer, schedule and layer of a kind of torch's, once."""
    from torch import nn, optim
    from torch.utils.data import DataLoader, TensorDataset

    x, y = torch.randn(32, 8), torch.randn(32, 1)
    layers = [nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU(), nn.LayerNorm(16)]
    model = nn.Sequential(*layers, nn.Dropout(0.1), nn.Linear(16, 1))
    batches = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    kinds: list[Any] = [getattr(optim, name) for name in dir(optim)]
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, optim.Optimizer):
            with suppress(Exception):  # for sparse gradients, or matrices alone
                _train(model, kind(model.parameters(), lr=1e-3), batches)  # type: ignore[call-arg]
    optimizer = optim.SGD(model.parameters(), lr=1e-3)
    for make in _schedules(optim.lr_scheduler):
        with suppress(Exception):
            make(optimizer).step()
    optim.swa_utils.AveragedModel(model).update_parameters(model)
    nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)(x[None])
    nn.LSTM(8, 4)(x[None])
    with suppress(Exception):
        torch.func.vmap(torch.sin)(x)
    model.load_state_dict(model.state_dict())
    str(model)


def _lazy_parts() -> None:
    """What torch loads modules for at its first call, each by itself."""
    import io

    from torch.utils.checkpoint import checkpoint

    _complete_stand_in()
    layer, x = torch.nn.Linear(2, 2), torch.ones(3, 2)
    calls: list[Callable[[], Any]] = [
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
        lambda: torch.func.vmap(torch.func.grad(lambda row: row.square().sum()))(x),
        lambda: torch.func.jacrev(torch.sin)(x[0]),
        lambda: checkpoint(layer, x, use_reentrant=False).sum().backward(),
        lambda: torch.save(layer.state_dict(), io.BytesIO()),
    ]
    for call in calls:
        with suppress(Exception):
            call()


def _complete_stand_in() -> None:
    """What plain functions of torch ask the tracer and the compiler for.

    The warm process holds a stand-in for the tracer, which nothing here is to load.
    """
    tracer: Any = sys.modules["torch._dynamo"]
    if hasattr(tracer, "optimize"):
        return  # the real one
    tracer.compiled_autograd = types.SimpleNamespace(_disable=nullcontext)
    tracer.config = types.SimpleNamespace(
        error_on_nested_fx_trace=False, patch=lambda *_, **__: nullcontext()
    )
    compiler: Any = types.ModuleType("torch._inductor")
    compiler.config = types.ModuleType("torch._inductor.config")
    sys.modules |= {each.__name__: each for each in (compiler, compiler.config)}
    vars(torch)["_inductor"] = compiler


def _schedules(schedulers: Any) -> Iterator[Callable[[Any], Any]]:
    yield lambda made: schedulers.OneCycleLR(made, max_lr=1e-3, total_steps=10)
    yield lambda made: schedulers.CosineAnnealingLR(made, 10)
    yield lambda made: schedulers.CosineAnnealingWarmRestarts(made, 10)
    yield lambda made: schedulers.LambdaLR(made, lambda step: 1.0)
    yield lambda made: schedulers.LinearLR(made)
    yield lambda made: schedulers.StepLR(made, 10)
    yield lambda made: schedulers.ReduceLROnPlateau(made)


def _train(model: Any, optimizer: Any, batches: Any) -> None:
    for x, y in batches:

        def closure(x: Any = x, y: Any = y) -> Any:
            optimizer.zero_grad()
            loss = torch.nn.functional.huber_loss(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)


def _estimators() -> None:
    """Every estimator of scikit-learn's, once where it takes plain numbers."""
    import numpy as np
    import sklearn.experimental.enable_halving_search_cv
    import sklearn.experimental.enable_iterative_imputer  # noqa: F401
    from sklearn.base import is_classifier
    from sklearn.model_selection import cross_val_score
    from sklearn.utils import all_estimators

    # scikit-learn's joblib reads the cgroup's files at every fit: the jail refuses.
    context: Any = importlib.import_module("joblib.externals.loky.backend.context")
    context._cpu_count_cgroup = lambda found: found
    x = np.random.default_rng(0).random((40, 4))
    targets = {True: (x[:, 0] > 0.5).astype(int), False: x[:, 0] + 0.1}
    # Some want texts, or other estimators.
    for _, kind in all_estimators():
        with suppress(Exception), np.errstate(all="ignore"):
            made = kind()
            made.fit(x, targets[is_classifier(made)])
            made.predict(x)
    from sklearn.linear_model import Ridge

    cross_val_score(Ridge(), x, targets[False], cv=3)
