"""What a rule gets instead of modules, classes and types: objects without a way in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, NoReturn


class Namespace:
    """A read-only module: names and their values, and no attribute of its own.

    Only the guard looks inside, by `contents_of`.
    """

    __slots__ = ("_contents", "_name")
    _contents: Mapping[str, Any]
    _name: str

    def __init__(self, name: str, contents: Mapping[str, Any]) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_contents", contents)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self._name}.{name} is read-only")

    def __repr__(self) -> str:
        return f"<{self._name}>"


def contents_of(namespace: Namespace) -> Mapping[str, Any]:
    """The names a rule finds in a namespace, and their values."""
    return namespace._contents


class Inert:
    """A name of `typing`: it may be subscripted, joined and called, to no effect."""

    __slots__ = ()

    def __getitem__(self, item: object) -> Inert:
        return self

    def __or__(self, other: object) -> Inert:
        return self

    __ror__ = __or__

    def __call__(self, *arguments: object, **options: object) -> Inert:
        return self

    def __repr__(self) -> str:
        return "<annotation>"

    # Without these, `in` and iter() would ask for items one by one, for ever.
    __iter__ = None
    __contains__ = None


INERT = Inert()


class StandIn:
    """A class as a rule sees it: to call and to ask `isinstance`, nothing else.

    The class itself would hand out unbound methods, and build without caps.
    """

    __slots__ = ("_kind", "_make", "_methods")
    _kind: type
    _make: Callable[..., Any] | None
    _methods: Mapping[str, Any]

    def __init__(
        self,
        kind: type,
        make: Callable[..., Any] | None,
        methods: Mapping[str, Any] | None = None,
    ) -> None:
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_make", make)
        object.__setattr__(self, "_methods", methods or {})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self._kind.__name__}.{name} is read-only")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._make is None:
            name = self._kind.__name__
            raise TypeError(f"{name}(...) is not available; use torch.zeros_like(p)")
        return self._make(*arguments, **options)

    def __getitem__(self, item: object) -> Inert:
        return INERT

    def __or__(self, other: object) -> Inert:
        return INERT

    __ror__ = __or__

    def __repr__(self) -> str:
        return f"<class {self._kind.__name__}>"

    __iter__ = None
    __contains__ = None


def kind_of(standin: StandIn) -> type:
    """The real class a stand-in stands for."""
    return standin._kind


def methods_of(standin: StandIn) -> Mapping[str, Any]:
    """Functions a rule may reach on a stand-in, such as dict.fromkeys."""
    return standin._methods


def real_class(asked: object) -> Any:
    """The class, or tuple of classes, that `isinstance` is asked about.

    Raises:
        TypeError: `asked` is neither a class nor a tuple of classes.
    """
    if type(asked) is StandIn:
        return kind_of(asked)
    if type(asked) is tuple:
        return tuple(real_class(part) for part in asked)
    if isinstance(asked, (type, UnionType)):
        return asked
    raise TypeError("isinstance wants a class or a tuple of classes")
