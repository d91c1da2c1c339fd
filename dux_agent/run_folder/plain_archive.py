"""Reads what `torch.save` wrote, where anybody may have written it.

`torch.load(weights_only=True)` runs no code, but it unpacks whatever an archive claims
to hold, and makes tensors that have no data, lie outside of memory, or are larger than
all that was read. A checkpoint of a run is plain values and dense tensors, none packed.
"""

import io
import pickle
import zipfile
from typing import Any

import torch

# Beside tensors a checkpoint of a run of a million steps holds some thousand values.
_MOST_VALUES = 5_000_000
_LARGEST_PICKLE = 256 * 2**20
_MOST_ENTRIES = 1_000_000
_DEEPEST = 64
# Of the record that ends a zip file; one with a comment behind it is read differently
# by different readers.
_LAST_RECORD = b"PK\x05\x06"
_LAST_RECORD_BYTES = 22

_NONSENSE = (
    *(pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError),
    *(LookupError, AttributeError, TypeError, UnicodeDecodeError, OverflowError),
    *(NotImplementedError, AssertionError, ImportError),
)


class NoPlainArchive(ValueError):
    """It holds something else than plain values and tensors; says what."""


def read_archive(content: bytes) -> Any:
    """The value that `torch.save` was given: plain, with dense tensors on the CPU.

    Raises:
        NoPlainArchive: it was given something else, or somebody changed the file.
    """
    try:
        _refuse_packed(content)
        value = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        _refuse_odd(value)
    except NoPlainArchive:
        raise
    # Whatever somebody put there: a torn archive, a pickle that wants to run code.
    except _NONSENSE as error:
        said = str(error).split("\n", 1)[0][:120] or type(error).__name__
        raise NoPlainArchive(said) from None
    return value


def _refuse_packed(content: bytes) -> None:
    """An archive takes no more memory than it has bytes, whoever reads it."""
    if content[-_LAST_RECORD_BYTES:][:4] != _LAST_RECORD or content[:2] != b"PK":
        raise NoPlainArchive("it is no archive as torch.save writes it")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES or len({e.filename for e in entries}) < len(
        entries
    ):
        raise NoPlainArchive("it holds a name twice")
    total = 0
    for entry in entries:
        total += entry.file_size
        if (
            entry.compress_type != zipfile.ZIP_STORED
            or entry.file_size != entry.compress_size
            or total > len(content)
        ):
            raise NoPlainArchive("it is packed, or claims more than it holds")
        if entry.filename.endswith(".pkl") and entry.file_size > _LARGEST_PICKLE:
            raise NoPlainArchive("it has too much to say beside its tensors")


def _refuse_odd(value: Any) -> None:
    """Only plain values and tensors, and no more of them than a run keeps.

    A few bytes of pickle can make a list that holds another one twice, and so on: to
    walk through it takes for ever. Each place is counted, however often it is shared.
    """
    left = _MOST_VALUES
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > _DEEPEST:
            raise NoPlainArchive("it holds more, or deeper, than any run keeps")
        if isinstance(part, torch.Tensor):
            _refuse_odd_tensor(part)
        elif isinstance(part, dict):
            waiting += [(each, depth + 1) for each in part]
            waiting += [(each, depth + 1) for each in part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            waiting += [(each, depth + 1) for each in part]
        elif part is not None and not isinstance(
            part,
            bool | int | float | complex | str | bytes | torch.dtype | torch.device,
        ):
            raise NoPlainArchive(f"it holds a {type(part).__name__}")


def _refuse_odd_tensor(tensor: torch.Tensor) -> None:
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        raise NoPlainArchive(f"it holds a {type(tensor).__name__}")
    if tensor.layout != torch.strided or tensor.device.type != "cpu":
        raise NoPlainArchive("it holds a tensor that is not dense or has no data")
    if tensor.is_quantized or tensor.is_nested:
        raise NoPlainArchive("it holds a tensor that is not dense")
    storage = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > storage:
        raise NoPlainArchive("it holds a tensor that claims more than its data")
