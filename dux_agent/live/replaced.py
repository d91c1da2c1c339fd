"""Tells when the model no longer holds a parameter that the optimizer steps.

`load_state_dict(assign=True)` and a layer put in another's place give the model new
Parameter objects. No torch optimizer follows them; training goes on as if frozen.
"""

from operator import is_
from typing import Any

import torch

from dux_sandbox.running import ParamGroups, parameters_of


class ParametersInModel:
    """Where a model holds the parameters of its optimizer.

    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1))
    >>> here = ParametersInModel(model, [{"params": list(model.parameters())}])
    >>> here.lost()
    []
    >>> model[0] = torch.nn.Linear(2, 1)
    >>> here.lost(), here.lost()
    (['0.weight', '0.bias'], [])
    >>> complaint(["0.weight", "0.bias"])[:54]
    'the model no longer holds 2 of the parameters that the'
    """

    def __init__(self, model: torch.nn.Module, groups: ParamGroups) -> None:
        """Note where each parameter of these groups is, as far as the model has it."""
        self._model = model
        self._groups = groups
        self._note()

    def _note(self) -> None:
        self._known = list(map(id, self._groups))
        stepped = {id(parameter) for parameter in parameters_of(self._groups)}
        self._names = {
            id(parameter): name for name, parameter in self._model.named_parameters()
        }
        self._tables: list[dict[str, Any]] = []
        self._keys: list[str] = []
        self._parts: list[Any] = []
        for module in self._model.modules():
            for name, child in module._modules.items():
                self._note_part(module._modules, name, child)
            for name, parameter in module._parameters.items():
                if id(parameter) in stepped:
                    self._note_part(module._parameters, name, parameter)

    def _note_part(self, table: dict[str, Any], name: str, part: Any) -> None:
        self._tables.append(table)
        self._keys.append(name)
        self._parts.append(part)

    def lost(self) -> list[str]:
        """Names of the parameters that have left the model since the last call.

        Those that have left the groups too are none. As cheap as a look at every slot:
        50 ns for each module and parameter.
        """
        found = map(dict.get, self._tables, self._keys)
        if all(map(is_, found, self._parts)):
            if self._known != list(map(id, self._groups)):
                self._note()  # groups have come or gone
            return []
        names = self._names
        self._note()
        stepped = map(id, parameters_of(self._groups))
        return [
            names[one] for one in stepped if one in names and one not in self._names
        ]


def complaint(lost: list[str]) -> str:
    """What to say of parameters of these names that have left the model."""
    named = ", ".join(lost[:5]) + (", ..." if len(lost) > 5 else "")
    return (
        f"the model no longer holds {len(lost)} of the parameters that the optimizer "
        f"steps ({named}); as with any torch optimizer, what has taken their place is "
        f"not trained; attach again with an optimizer over it, or add it as a group."
    )
