"""A copy of a sharded model, sharded in the same way: each rank copies its own part.

No rank ever holds more of it than FSDP itself does in a pass. It talks over groups of
its own, so that a pass that ends on one rank alone leaves the training's groups as they
are.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
from torch import nn

from dux_agent.training import process_ranks
from dux_agent.training.whole_model import whole_copy
from dux_sandbox.shards import (
    is_fully_sharded,
    is_sharded,
    own_part,
    reshard,
    shape_of,
)


class ShardedCopies:
    """Makes copies of one sharded model; all ranks make and use them together.

    Attributes:
        torn: a rank may have left the others in the middle of a pass; the next copy
            talks over other groups.
    """

    def __init__(self, model: nn.Module) -> None:
        """Of `model`, once they are opened."""
        self.torn = False
        self._model = model
        self._groups: list[Any] = []
        self._meshes: dict[Any, Any] = {}

    def open(self) -> None:
        """Make groups for them, over the ranks that hold parts of the model.

        Raises:
            ValueError: it is sharded otherwise than is done again here.
        """
        self.close()
        reshard(self._model)
        for each in self._model.parameters():
            if is_sharded(each):
                mesh: Any = each.device_mesh  # type: ignore[attr-defined]
                if own_part(each).device.type != mesh.device_type:
                    raise ValueError("its weights are kept on another device")
                if mesh not in self._meshes:
                    self._meshes[mesh] = self._again(mesh)
            elif each.requires_grad:
                raise ValueError("some of the weights that are trained are not sharded")

    def _again(self, mesh: Any) -> Any:
        """The same mesh over groups of its own."""
        from torch.distributed.device_mesh import DeviceMesh

        if mesh.size() != torch.distributed.get_world_size():
            raise ValueError("it is sharded over some of the ranks only")
        # A collective of gloo that a rank has left ends then; the watchdog of another
        # backend would end the process, and is left as it is.
        timeout = timedelta(seconds=process_ranks.PATIENCE)
        waits = {"timeout": timeout} if mesh.device_type == "cpu" else {}
        groups = []
        for dimension in range(mesh.ndim):
            rows = mesh.mesh.movedim(dimension, -1).reshape(-1, mesh.size(dimension))
            own, _ = torch.distributed.new_subgroups_by_enumeration(
                rows.tolist(), **waits
            )
            groups.append(own)
        self._groups += groups
        if mesh.ndim == 1:
            return DeviceMesh.from_group(groups[0], mesh.device_type)
        again = {"mesh": mesh.mesh, "mesh_dim_names": mesh.mesh_dim_names}
        return DeviceMesh.from_group(groups, mesh.device_type, **again)

    def close(self) -> None:
        """Let go of the groups."""
        for each in self._groups:
            torch.distributed.destroy_process_group(each)
        self._groups, self._meshes, self.torn = [], {}, False

    def copy(self, model: nn.Module) -> nn.Module:
        """A copy with the values of now, each part on the rank that holds it.

        Raises:
            ValueError: the model is sharded otherwise than is done again here.
            Whatever copying a module of it raises.
        """
        if self.torn:
            self.open()
        twin = whole_copy(model, shape_of)
        twins = dict(zip(model.modules(), twin.modules(), strict=True))
        for unit in _units(model):
            self._shard([twins[each] for each in unit], unit)
        device = own_part(next(model.parameters())).device
        twin._apply(lambda t: torch.empty_like(t, device=device) if t.is_meta else t)
        originals, others = list(model.parameters()), list(twin.parameters())
        if len(originals) != len(others):
            raise ValueError("its units share parameters")
        with torch.no_grad():
            for one, other in zip(originals, others, strict=True):
                if own_part(one).shape != own_part(other).shape:
                    raise ValueError("it is sharded in a way of its own")
                own_part(other).copy_(own_part(one))
        return twin

    def _shard(self, twins: Sequence[nn.Module], unit: Sequence[nn.Module]) -> None:
        """Shard modules of the copy as those of the model are."""
        from torch.distributed.fsdp import fully_shard

        pairs = [
            (one, other)
            for module, twin in zip(unit, twins, strict=True)
            for one, other in zip(module.parameters(), twin.parameters(), strict=True)
            if not is_sharded(other)  # else it is an inner unit's
        ]
        own: dict[int, Any] = {
            id(other): one for one, other in pairs if is_sharded(one)
        }
        left = {other for one, other in pairs if not is_sharded(one)}
        meshes = list({each.device_mesh for each in own.values()} or self._meshes)
        if len(meshes) > 1:
            raise ValueError("one of its units is sharded over several meshes")
        state: Any = unit[0]
        shard: Any = fully_shard
        shard(
            list(twins) if len(twins) > 1 else twins[0],
            mesh=self._meshes[meshes[0]],
            reshard_after_forward=True,
            shard_placement_fn=lambda each: _shard_of(own[id(each)]),
            mp_policy=state._get_fsdp_state()._mp_policy,
            **({"ignored_params": left} if left else {}),
        )


def _units(model: nn.Module) -> list[tuple[nn.Module, ...]]:
    """The modules that were sharded together, inner ones first."""
    units: dict[int, tuple[nn.Module, ...]] = {}
    for module in filter(is_fully_sharded, model.modules()):
        state = module._get_fsdp_state()  # type: ignore[operator]
        units.setdefault(id(state), state._modules)
    return list(units.values())[::-1]


def _shard_of(parameter: Any) -> Any:
    """The placement by which the ranks hold parts of it."""
    shards = [each for each in parameter.placements if not each.is_replicate()]
    if len(shards) != 1 or not shards[0].is_shard():
        raise ValueError(f"a parameter is placed by {parameter.placements}")
    return shards[0]
