"""The guards of one loaded source: reads by exact type, default deny.

Everything here is reached through globals of names that no source can spell.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import torch

from dux_sandbox.language import python_names, torch_names, vocabulary
from dux_sandbox.language.torch_names import global_of
from dux_sandbox.runtime import (
    collecting,
    comparing,
    idioms,
    iteration,
    lookups,
    nestable,
    nesting,
    operators,
    plain_builtins,
    text,
)
from dux_sandbox.runtime.classes import Classes
from dux_sandbox.runtime.context import Context
from dux_sandbox.runtime.doors import is_door
from dux_sandbox.runtime.facade import BASES, PATHS, is_plain, stand_in_for
from dux_sandbox.runtime.standins import (
    INERT,
    Namespace,
    StandIn,
    contents_of,
    methods_of,
)
from dux_sandbox.runtime.stock import prepare
from dux_sandbox.runtime.tables import tables_by_type
from dux_sandbox.runtime.writing import Writing


def _reserved() -> frozenset[str]:
    """Names of torch's optimizers: from the table, and from the torch installed."""
    found = set(torch_names.OPTIMIZER_OWN | torch_names.KEPT_FOR_RULES)
    for base in BASES:
        some = [torch.nn.Parameter(torch.zeros(1, 1))]
        plain = base is torch.optim.Optimizer
        made = base(some, {"lr": 0.1}) if plain else base(some)
        found.update(name for name in dir(made) if not name.startswith("__"))
    return frozenset(found)


RESERVED: frozenset[str] = _reserved()
_READABLE = frozenset(torch_names.OPTIMIZER_READABLE)
_PRIVATE = RESERVED - _READABLE
_BUILDING_ONLY = frozenset(["add_param_group", "load_state_dict"])
_SUPER = frozenset(torch_names.SUPER)
# What a rule finds under names of torch's own helpers; the others do nothing.
_HELPERS: dict[str, Callable[..., Any]] = {
    "_group_tensors_by_device_and_dtype": idioms.group_by_device_and_dtype
}


_MISSING = object()


class Guards:
    """Builds the globals in which one source runs.

    Args:
        read: what reads an attribute once it is allowed; tests count through it.
    """

    def __init__(self, read: Callable[[Any, str], Any] = getattr) -> None:
        self.context = Context()
        self._read = read
        self._writing = Writing(self.context, RESERVED)
        self._classes = Classes(
            self.context, RESERVED, torch_names.OPTIMIZER_OVERRIDABLE
        )
        self._names = tables_by_type(self._writing)

    # Reading

    def getter(self) -> Callable[[Any, str], Any]:
        """The read guard, as a closure: the hottest function of a running rule."""
        names, read, otherwise = self._names, self._read, self._attribute

        def guarded_getattr(target: Any, name: str) -> Any:
            allowed = names.get(type(target))
            if allowed is None:
                return otherwise(target, name)
            try:
                maker = allowed[name]
            except KeyError:
                refuse(target, name)
            return read(target, name) if maker is None else maker(target)

        return guarded_getattr

    def _attribute(self, target: Any, name: str) -> Any:
        kind = type(target)
        if type(name) is not str:
            raise TypeError("an attribute's name must be a string")
        if kind in self.context.classes:
            return self._own_attribute(target, name)
        if kind is Namespace:
            contents = contents_of(target)
            if name in contents:
                return contents[name]
        elif kind is super:
            return self._super_attribute(target, name)
        elif isinstance(target, type):
            return self._class_attribute(target, name)
        elif kind is StandIn:
            if name in methods_of(target):
                return methods_of(target)[name]
        elif kind in BASES:
            if name == "step":
                return _prepared(target, self._read(target, name))
            if name in _READABLE:
                return self._read(target, name)
        elif isinstance(target, tuple) and kind.__module__ == "torch.return_types":
            fields = getattr(kind, "_fields", python_names.RESULT_FIELDS)
            if name in fields or name in ("count", "index"):
                return self._read(target, name)
        elif isinstance(target, BaseException) and name == "args":
            return tuple(target.args)
        refuse(target, name)

    def _own_attribute(self, target: Any, name: str) -> Any:
        if name.startswith("__"):
            refuse(target, name)
        if isinstance(target, torch.optim.Optimizer):
            if name in torch_names.OPTIMIZER_HELPERS:
                return _HELPERS.get(name, _nothing)
            if name in _PRIVATE and not _own_to(type(target), name):
                refuse(target, name)
            if name in _BUILDING_ONLY:
                return self._while_building(target, name, self._read(target, name))
        return self._read(target, name)

    def _while_building(self, rule: Any, name: str, method: Any) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            self.context.check_building(rule, name)
            return method(*arguments, **options)

        return call

    def _super_attribute(self, target: Any, name: str) -> Any:
        rule = object.__getattribute__(target, "__self__")
        if type(rule) not in self.context.classes:
            refuse(target, name)
        if not isinstance(rule, torch.optim.Optimizer):
            if name == "__init__" or not name.startswith("__"):
                return self._read(target, name)
            refuse(target, name)
        if name == "__setstate__":
            return self._classes.asked_by_rule(rule, self._read(target, name))
        if name == "__init__" or name in _BUILDING_ONLY:
            return self._while_building(rule, name, self._read(target, name))
        if name == "step":
            step = self._read(target, name)
            return step if is_door(step) else _prepared(rule, step)
        reserved = name in RESERVED and not _own_to(type(rule), name)
        if name in _SUPER or not (name.startswith("__") or reserved):
            return self._read(target, name)
        refuse(target, name)

    def _class_attribute(self, target: type, name: str) -> Any:
        own = target in self.context.classes
        optimizer = issubclass(target, torch.optim.Optimizer)
        if optimizer and (own or target in BASES) and name in _SUPER:
            return self._unbound(target, name)
        if optimizer and (own or target in BASES) and name in _HELPERS:
            return _HELPERS[name]
        if own and name == "__init__" and not optimizer:
            return self._read(target, name)
        # `mro` is a method of the class's own type: it lists real classes.
        if own and name != "mro" and not name.startswith("__"):
            if name not in RESERVED or _own_to(target, name):
                return self._read(target, name)
        refuse(target, name)

    def _unbound(self, kind: type, name: str) -> Callable[..., Any]:
        """`Optimizer.__init__(self, params, defaults)`: as super() would give it."""
        method = self._read(kind, name)

        def call(rule: Any, *arguments: Any, **options: Any) -> Any:
            if type(rule) not in self.context.classes or not isinstance(rule, kind):
                raise TypeError(f"{kind.__name__}.{name} wants self as first argument")
            if name == "__setstate__":
                bound = method.__get__(rule)
                return self._classes.asked_by_rule(rule, bound)(*arguments)
            if name == "__init__" or name in _BUILDING_ONLY:
                self.context.check_building(rule, name)
            if name == "step" and not is_door(method):
                prepare(rule)
            return method(rule, *arguments, **options)

        return call

    # The builtins that need the guards

    def _builtins(self) -> dict[str, Any]:
        get = self.getter()

        def guarded_getattr(target: Any, name: str, *default: Any) -> Any:
            try:
                return get(target, name)
            except AttributeError:
                if default:
                    return default[0]
                raise

        def guarded_hasattr(target: Any, name: str) -> bool:
            return guarded_getattr(target, name, _MISSING) is not _MISSING

        def guarded_setattr(target: Any, name: str, value: Any) -> None:
            self._writing.set_attribute(value, target, name)

        def guarded_type(value: Any) -> Any:
            kind = type(value)
            if kind in self.context.classes or kind in BASES:
                return kind
            return stand_in_for(kind) or INERT

        lookups.as_hints.add(guarded_type)
        found = {name: plain_builtins.BUILTINS[name] for name in vocabulary.BUILTINS}
        found.update(
            {
                "getattr": guarded_getattr,
                "hasattr": guarded_hasattr,
                "setattr": guarded_setattr,
                "type": guarded_type,
                "__build_class__": __build_class__,
                "__import__": lookups.guarded_import,
            }
        )
        return found

    def _view_as_real(self, params: Any, *others: Any) -> None:
        """As torch's helper: complex tensors of lists become real views, in place."""
        for index, each in enumerate(list(iteration.bounded(params))):
            if torch.is_complex(each):
                for items in (params, *others):
                    real = torch.view_as_real(lookups.get_item(items, index))
                    self._writing.set_item(real, items, index)

    def globals(self) -> dict[str, Any]:
        """A fresh dict of globals for one source, whole."""
        return {
            "__builtins__": self._builtins(),
            "__name__": "dux_rule",
            "@getattr": self.getter(),
            "@getitem": lookups.get_item,
            "@iterable": iteration.iterable,
            "@into": lookups.into,
            "@unheld": lookups.unheld,
            "@unbound": idioms.unbound,
            "@unreached": idioms.unreached,
            "@kwargs": lookups.keyword_arguments,
            "@spread": iteration.bounded,
            "@keys": collecting.keys,
            "@key": nesting.check_key,
            "@list": iteration.listed,
            "@set": collecting.set_of,
            "@dict": collecting.dict_of_pairs,
            "@unpack": iteration.unpacked,
            "@rows": iteration.rows,
            "@compare": comparing.compare,
            "@chain": comparing.chain,
            "@given": comparing.given,
            "@generator": nestable.keep,
            "@yielded": iteration.yielded,
            "@delegated": iteration.delegated,
            "@generating": nestable.kept,
            "@write": self._writing.writer,
            "@setitem": self._writing.set_item,
            "@setattr": self._writing.set_attribute,
            "@same_groups": self._writing.same_groups,
            "@inplace": self._writing.in_place,
            **operators.BINARY,
            "@tick": self.context.tick,
            "@class_name": lookups.class_name,
            "@format": text.format_value,
            "@text": text.joined,
            "@format_literal": text.format_literal,
            "@metaclass": self._classes.make,
            "@Exception": Exception,
            **{global_of(path): value for path, value in PATHS.items()},
            global_of(torch_names.VERSION): str(torch.__version__),
            global_of("torch.optim.optimizer._view_as_real"): self._view_as_real,
        }


def _prepared(rule: Any, step: Callable[..., Any]) -> Callable[..., Any]:
    """A step that may be torch's own, on a state that was looked at."""

    def call(*arguments: Any, **options: Any) -> Any:
        prepare(rule)
        return step(*arguments, **options)

    return call


def _own_to(kind: type, name: str) -> bool:
    """Whether `name` of torch's other optimizers is free for a class of a source."""
    return name in torch_names.OF_STOCK_OPTIMIZERS and is_plain(kind)


def _nothing(*arguments: Any, **options: Any) -> None:
    """torch's checks before a graph is captured: there is none here."""


def refuse(target: Any, name: str) -> NoReturn:
    """Raise AttributeError for a name that is not in the table of its type."""
    kind = target.__name__ if isinstance(target, type) else type(target).__name__
    instead = vocabulary.instead_of(str(name), "use a name from the table")
    raise AttributeError(f"{kind}.{name} is not available in a rule; {instead}")
