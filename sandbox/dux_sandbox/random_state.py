"""The random numbers of the process: every global generator, taken and put back.

They belong to the training. Whatever happens beside it (a dry run, a validation, a
rollback, a graph that names its checkpoints) is done with them put aside.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import json
import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PythonState = tuple[Any, ...]

_ACCELERATORS = ("cuda", "xpu", "mtia", "mps")
_SEEDS_OF_NUMPY = 1 << 32
_WORDS_OF_NUMPY, _BUFFERED_BY_NUMPY = 624, 4
_BITS_OF_NUMPY = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
# What a damaged or foreign state makes the generators raise.
_NONSENSE = (
    *(LookupError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError),
)


@dataclass(frozen=True)
class RandomState:
    """The state of every global generator at one moment.

    Attributes:
        cpu: torch's on the CPU, uint8; None where torch was not loaded.
        accelerators: torch's on each device, by the kind of device; only of kinds
            that were in use. Asking one that nobody uses would start it.
        python: of the module `random`; None in what was saved without it.
        numpy: of `numpy.random`, as its `get_state(legacy=False)` gives it; None
            where NumPy was not loaded.

    >>> state = RandomState.take()
    >>> drawn = random.random()
    >>> state.restore()
    >>> drawn == random.random()
    True
    """

    cpu: torch.Tensor | None = None
    accelerators: Mapping[str, tuple[torch.Tensor, ...]] = field(default_factory=dict)
    python: PythonState | None = None
    numpy: Mapping[str, Any] | None = None

    @classmethod
    def take(cls) -> RandomState:
        """The states now."""
        torch, numpy = sys.modules.get("torch"), _loaded_numpy()
        return cls(
            cpu=None if torch is None else torch.get_rng_state(),
            accelerators={
                name: _states_of(device) for name, device in _started_accelerators()
            },
            python=random.getstate(),
            numpy=None if numpy is None else numpy.random.get_state(legacy=False),
        )

    def restore(self) -> None:
        """Put them back.

        A generator that this state does not know (NumPy was loaded later, an
        accelerator was not there) is left as it is. An accelerator that was started
        since gets the seed of the CPU's: what `torch.manual_seed` gives both.
        """
        torch = sys.modules.get("torch")
        if torch is not None and self.cpu is not None:
            torch.set_rng_state(self.cpu)
            for name, device in _started_accelerators():
                known = self.accelerators.get(name)
                if known is None:
                    _seed(device, torch.initial_seed())
                else:
                    _put_back(device, known)
        if self.python is not None:
            random.setstate(self.python)
        numpy = _loaded_numpy()
        if numpy is not None and self.numpy is not None:
            _put_back_numpy(numpy, self.numpy)

    def state_dict(self) -> dict[str, Any]:
        """Plain data and torch's own states as uint8 tensors.

        Any road that knows texts and tensors will do for it, `weights_only` too.
        """
        packed: dict[str, Any] = {"cpu": self.cpu}
        packed |= {name: list(states) for name, states in self.accelerators.items()}
        if self.python is not None:
            packed["python"] = json.dumps(self.python)
        if self.numpy is not None:
            packed["numpy"] = json.dumps(self.numpy, default=_lowered)
        return packed

    @classmethod
    def of(cls, packed: Mapping[str, Any]) -> RandomState:
        """The state that `state_dict` gave; what it does not hold is left alone.

        Also of a checkpoint that holds torch's CPU and CUDA only. Where it holds
        NumPy's, NumPy is loaded if it is installed.

        Raises:
            ValueError: no generator would take these states.
        """
        try:
            state = cls(
                cpu=None if packed.get("cpu") is None else packed["cpu"].cpu(),
                accelerators={
                    name: tuple(each.cpu() for each in packed[name])
                    for name in _ACCELERATORS
                    if packed.get(name)
                },
                python=_python_of(packed.get("python")),
                numpy=_numpy_of(packed.get("numpy")),
            )
            state._try_on_generators_of_our_own()
        except _NONSENSE as error:
            raise ValueError(
                f"the random numbers cannot be read: {type(error).__name__}: {error}"
            ) from None
        return state

    def _try_on_generators_of_our_own(self) -> None:
        """Raise whatever a generator has against these states; changes nothing."""
        if self.cpu is not None:
            from dux_sandbox.generator_states import generator_in

            generator_in(self.cpu)
        if self.python is not None:
            random.Random().setstate(self.python)
        if self.numpy is not None:
            import numpy

            bits = _bits_of_numpy(numpy, self.numpy)
            own = numpy.random.RandomState(bits)
            own.set_state(dict(self.numpy))
            _require_of_numpy(own.get_state(legacy=False))


@contextmanager
def numbers_of_python_kept() -> Iterator[None]:
    """What is imported inside may draw from Python's generator, as `rich` does."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """What is drawn or seeded inside leaves the random numbers as they were."""
    before = RandomState.take()
    try:
        yield
    finally:
        before.restore()


@contextmanager
def same_random_numbers(seed: int) -> Iterator[None]:
    """Seed every generator that training may use, and put them back afterwards."""
    with random_numbers_kept():
        seed_all(seed)
        yield


def seed_all(seed: int) -> None:
    """Seed every global generator that is in use.

    Not by `torch.manual_seed`: that would keep the seed for an accelerator that
    starts later, when the numbers are long the training's own again.
    """
    torch, numpy = sys.modules.get("torch"), _loaded_numpy()
    if torch is not None:
        torch.default_generator.manual_seed(seed)
    for _, device in _started_accelerators():
        _seed(device, seed)
    random.seed(seed)
    if numpy is not None:
        numpy.random.seed(seed % _SEEDS_OF_NUMPY)


def _started_accelerators() -> Iterator[tuple[str, Any]]:
    """torch's accelerators that are in use, each with its kind."""
    torch = sys.modules.get("torch")
    for name in _ACCELERATORS if torch is not None else ():
        device = getattr(torch, name, None)
        # MPS knows no `is_initialized`; it has one device and no start to speak of.
        started = getattr(device, "is_initialized", None) or getattr(
            getattr(getattr(torch, "backends", None), name, None), "is_available", None
        )
        if device is not None and started is not None and started():
            yield name, device


def _states_of(device: Any) -> tuple[torch.Tensor, ...]:
    every = getattr(device, "get_rng_state_all", None)
    return (device.get_rng_state(),) if every is None else tuple(every())


def _put_back(device: Any, states: tuple[torch.Tensor, ...]) -> None:
    every = getattr(device, "set_rng_state_all", None)
    if every is None:
        device.set_rng_state(states[0])
    else:  # a checkpoint may come from a machine with more devices
        every(list(states[: device.device_count()]))


def _seed(device: Any, seed: int) -> None:
    every = getattr(device, "manual_seed_all", None) or device.manual_seed
    every(seed)


def _loaded_numpy() -> ModuleType | None:
    """NumPy where it is loaded, whole: another thread may be in the midst of it."""
    numpy = sys.modules.get("numpy")
    there = hasattr(getattr(numpy, "random", None), "get_state")
    return numpy if there else None


def _put_back_numpy(numpy: Any, state: Mapping[str, Any]) -> None:
    here = numpy.random.get_state(legacy=False)["bit_generator"]
    if here != state["bit_generator"]:
        # Somebody has put another kind of generator under NumPy's functions since.
        numpy.random.set_bit_generator(_bits_of_numpy(numpy, state))
    numpy.random.set_state(dict(state))


def _bits_of_numpy(numpy: Any, state: Mapping[str, Any]) -> Any:
    name = state["bit_generator"]
    if name not in _BITS_OF_NUMPY:
        raise ValueError(f"NumPy has no generator {name!r}")
    return getattr(numpy.random, name)()


def _require_of_numpy(state: Mapping[str, Any]) -> None:
    """Refuse what makes NumPy read outside its memory: it takes places as they are."""
    place, buffered = state["state"].get("pos", 0), state.get("buffer_pos", 0)
    if not (0 <= place <= _WORDS_OF_NUMPY and 0 <= buffered <= _BUFFERED_BY_NUMPY):
        raise ValueError("no generator of NumPy was in this state")


def _lowered(value: Any) -> Any:
    """An array of NumPy's states as JSON."""
    held = base64.b64encode(value.tobytes()).decode("ascii")
    return {"~dtype": value.dtype.str, "~bytes": held}


def _raised(value: dict[str, Any]) -> Any:
    if "~bytes" not in value:
        return value
    import numpy

    return numpy.frombuffer(base64.b64decode(value["~bytes"]), value["~dtype"])


def _python_of(text: Any) -> PythonState | None:
    if text is None:
        return None
    version, numbers, gauss = json.loads(text)
    return version, tuple(numbers), gauss


def _numpy_of(text: Any) -> Mapping[str, Any] | None:
    if text is None or importlib.util.find_spec("numpy") is None:
        return None
    importlib.import_module("numpy")
    state: Mapping[str, Any] = json.loads(text, object_hook=_raised)
    return state
