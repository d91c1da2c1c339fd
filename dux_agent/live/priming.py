"""Makes the rule of a checkpoint live before the checkpoint is loaded.

`torch.distributed.checkpoint` loads into what is there: it wants a state of the saved
shape, tensor by tensor, and a fresh process has the base optimizer's.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dux_agent.choices import LrOwner
from dux_agent.errors import BadArgument
from dux_agent.live.ending import end_all
from dux_agent.live.guarded_slot import GuardedSlot
from dux_agent.live.saved_checkpoint import source_of
from dux_agent.live.swap import swap
from dux_sandbox.told_warnings import no_warnings

_KEY = "dux.source"


@dataclass(frozen=True)
class Primed:
    """What `Agent.prime` did.

    Attributes:
        digest: of the rule that is live now; None: the checkpoint holds none, and the
            base optimizer is.
        state: names of the entries that the rule keeps for a parameter.
        options: names of the options in the first group.
    """

    digest: str | None
    state: tuple[str, ...]
    options: tuple[str, ...]


def prime(live: GuardedSlot, source: str, lr_owner: LrOwner) -> Primed:
    """Make the rule of `source` live, with the state that its first step makes.

    Parameters, gradients and random numbers are as before. It is guarded from its next
    step on, with the base optimizer behind it.

    Raises:
        SourceRejected: the static check refuses it.
        RuleFailed: it could not be built, or failed on zero gradients. After either
            everything is as it was.
    """
    swap(live, source, lr_owner=lr_owner, carry="never", first_step=True)
    waited, made = live.guard.waiting, live.rule_state()
    # The weights may be loaded after this: the guard looks at the first step.
    live.guard.arm(live.base_predecessor, None)
    end_all(live.param_groups, waited)
    return Primed(
        digest=live.running.digest,
        state=tuple(sorted({str(n) for each in made.state.values() for n in each})),
        options=tuple(n for n in live.param_groups[0] if n != "params"),
    )


def source_in(given: Any) -> str | None:
    """The source that `Agent.prime` was handed, in whatever form.

    Returns:
        None where the checkpoint was taken while the base optimizer was live.

    Raises:
        BadArgument: there is no source in it.
        CheckpointRefused: the source is not what its digest says.
    """
    if isinstance(given, os.PathLike):
        return _on_disk(Path(given))
    if isinstance(given, str):
        # No source is one line that names a folder.
        is_folder = "\n" not in given and Path(given).is_dir()
        return _on_disk(Path(given)) if is_folder else given
    if isinstance(given, Mapping):
        found = list(_records(given, 0))
        if found:
            record = found[0]
            return None if record.get("source") is None else source_of(record)[0]
    raise BadArgument(
        f"source is a {type(given).__name__} without a rule in it; the text of a rule, "
        f"a state_dict of the live optimizer, or the folder of a distributed "
        f"checkpoint was wanted; pass one of them."
    )


def _records(state: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """The records of live optimizers in nested dicts and lists."""
    record = state.get("dux")
    if isinstance(record, Mapping) and "source" in record:
        yield record
    for value in state.values() if depth < 4 else ():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, Mapping):
                yield from _records(each, depth + 1)


def _on_disk(folder: Path) -> str | None:
    """The source in a folder that `torch.distributed.checkpoint` wrote."""
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.state_dict_loader import load

    try:
        known = FileSystemReader(folder).read_metadata().state_dict_metadata
    except OSError as error:
        raise BadArgument(
            f"{folder} holds no distributed checkpoint ({error.strerror or error}); "
            f"the folder that dcp.save wrote was wanted; pass that one."
        ) from None
    names = [name for name in known if name == _KEY or name.endswith(f".{_KEY}")]
    if not names:
        raise BadArgument(
            f"{folder} holds no live optimizer of ours; a checkpoint with its "
            f"state_dict was wanted; save it with get_state_dict(model, "
            f"agent.optimizer)."
        )
    wanted: dict[str, Any] = {names[0]: ""}
    with no_warnings():  # torch's own: of one process, of its storages
        load(wanted, storage_reader=FileSystemReader(folder), no_dist=True)
    source = wanted[names[0]]
    return source if isinstance(source, str) else None
