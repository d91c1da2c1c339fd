"""One table: the policy, the facade, the page and the installed torch agree on it."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from dux_sandbox.language import (
    constants,
    idiom_names,
    python_names,
    torch_names,
    vocabulary,
)
from dux_sandbox.language.torch_names import OPTIMIZER_OWN
from dux_sandbox.runtime import facade, tensor_caps
from dux_sandbox.runtime.guards import Guards
from dux_sandbox.runtime.standins import Namespace

ROOT = Path(__file__).parents[2]
# The newest torch knows every name; an older one may lack a few.
NEWEST = tuple(int(n) for n in torch.__version__.split("+")[0].split(".")[:2]) >= (2, 9)


def test_the_page_is_what_the_policy_generates() -> None:
    written = (ROOT / "docs" / "language.md").read_text()

    # Mend it by: python -m dux_sandbox.language.vocabulary > docs/language.md
    assert vocabulary.page() == written


def test_the_page_lists_every_name() -> None:
    page = vocabulary.page()

    for names in vocabulary.ALLOWED.values():
        assert all(f"`{name}`" in page for name in names)


@pytest.mark.skipif(not NEWEST, reason="an older torch lacks some names")
def test_every_name_of_the_table_exists() -> None:
    paths = [f"{m}.{n}" for m, names in vocabulary.MODULES.items() for n in names]

    assert [] == [path for path in paths if path not in facade.PATHS]
    assert set(vocabulary.TENSOR) <= set(dir(torch.Tensor))


def test_no_name_is_listed_twice() -> None:
    for key, names in vocabulary.ALLOWED.items():
        assert len(set(names)) == len(names), key


def test_no_name_of_the_table_is_pythons_own_or_torchs_machinery() -> None:
    kept = {"__init__", "__setstate__"}
    for key, names in vocabulary.ALLOWED.items():
        private = [n for n in names if n.startswith("_") and n not in kept]
        own = [*idiom_names.OPTIMIZER_HELPERS, *idiom_names.OPTIMIZER_DOCS]
        own += [*idiom_names.FUSED, *torch_names.SPARSE, "_params_t"]
        own += [*idiom_names.FOREACH_UTILS, "_dynamo", "_foreach_utils", "_utils"]
        assert all(n.startswith("_foreach_") or n in own for n in private), key
        if key not in ("self", "super()", "range", "slice"):
            helpers = torch_names.OPTIMIZER_HELPERS
            assert not (OPTIMIZER_OWN - helpers) & set(names), key


def test_no_object_of_the_facade_is_a_module() -> None:
    for path, value in facade.PATHS.items():
        assert not isinstance(value, types.ModuleType), path
        if path in vocabulary.MODULES:
            assert isinstance(value, Namespace), path


def test_no_function_takes_out_by_position() -> None:
    # `out=` resizes the tensor it is given: by keyword the policy refuses it.
    positional = []
    for path, value in facade.PATHS.items():
        try:
            found = inspect.signature(value).parameters.get("out")
        except (TypeError, ValueError):
            continue  # torch's C functions: keyword-only by their schemas
        if found is not None and found.kind is not inspect.Parameter.KEYWORD_ONLY:
            positional.append(path)

    assert [] == positional


def test_everything_sized_by_reading_is_capped_while_running_too() -> None:
    missing = [path for path in constants.SIZED if path not in tensor_caps.FUNCTIONS]

    assert [] == missing
    assert constants.SIZED_METHODS <= set(tensor_caps.METHODS)
    assert set(tensor_caps.FUNCTIONS) <= set(facade.PATHS)
    assert set(tensor_caps.METHODS) <= set(vocabulary.TENSOR)


def test_every_type_with_methods_has_its_guard() -> None:
    get = Guards().globals()["@getattr"]
    samples: dict[str, Any] = {
        "dict": {},
        "list": [],
        "str": "x",
        "tuple": (),
        "set": set(),
        "float": 1.0,
        "int": 1,
        "slice": slice(1),
        "Size": torch.Size([1]),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "finfo": torch.finfo(torch.float32),
        "Generator": torch.Generator(),
        "Exception": ValueError("x"),
    }

    for key, value in samples.items():
        for name in python_names.METHODS[key]:
            assert get(value, name) is not NotImplemented


def test_every_tensor_name_reads_through_the_guard() -> None:
    get = Guards().globals()["@getattr"]
    tensor, twisted = torch.ones(2, 2), torch.ones(2, 2, dtype=torch.complex64)
    kinds = {name: twisted if name == "imag" else tensor for name in vocabulary.TENSOR}

    nothing = [name for name, kind in kinds.items() if get(kind, name) is None]

    assert ["grad"] == nothing


def test_the_advice_is_about_names_that_are_refused() -> None:
    builtins = set(vocabulary.BUILTINS)

    assert not builtins & set(vocabulary.INSTEAD)
    assert all(text for text in vocabulary.INSTEAD.values())
