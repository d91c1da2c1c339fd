"""Files that import each other become one source that does what they did."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dux_sandbox.gathering.joining import Joined, join
from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.gathering.reading import CannotJoin
from dux_sandbox.static_check import check

HELPER = '''
"""Small things."""
from __future__ import annotations

import os

import torch
from torch import Tensor

EPS = 1e-3
log = 2.0


# How large a step is.
def scaled(x: Tensor, by: float = EPS) -> Tensor:
    return x.mul(by) * log


def unused():
    return os.getcwd()


def max(a, b):
    return a if a > b else b


def doubling(function):
    def double(x):
        return function(x) * 2

    return double


if EPS < 1:
    SMALL = [EPS * n for n in (1, 2, 3)]
else:
    SMALL = []


class Scale:
    eps = EPS
    log = log

    def of(self, x, by=EPS):
        return x * by * self.log * sum(EPS for log in SMALL)


class Base(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super(Base, self).__init__(params, dict(lr=lr))
        self.label = f"base {EPS} {log}"
'''
MAIN = """
import torch
{imports}


class Lion({base}):
    @torch.no_grad()
    def step(self, closure=None):
        {inside}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_({step})
"""
PLAIN = "torch.optim.SGD"


def main(imports, step, base=PLAIN, inside="pass"):
    return MAIN.format(imports=imports, step=step, base=base, inside=inside)


KINDS = {
    "name": main("from .helper import scaled", "scaled(p.grad)"),
    "name_as": main("from .helper import scaled as s, EPS as e", "s(p.grad, e)"),
    "module": main("from . import helper", "helper.scaled(p.grad) * helper.EPS"),
    "module_as": main("from . import helper as h", "h.scaled(p.grad, h.EPS)"),
    "absolute": main("from package.helper import scaled", "scaled(p.grad)"),
    "whole_path": main("import package.helper", "package.helper.scaled(p.grad)"),
    "path_as": main("import package.helper as ph", "ph.scaled(p.grad)"),
    "package": main("from package import helper", "helper.scaled(p.grad)"),
    "star": main("from .helper import *", "scaled(p.grad, EPS)"),
    "base": main("from .helper import Base", "p.grad * group['lr']", "Base"),
    "base_as": main("from .helper import Base as B", "p.grad * group['lr']", "B"),
    "base_path": main("from . import helper", "p.grad * 0.5", "helper.Base"),
    "inside": main("", "scaled(p.grad)", inside="from .helper import scaled"),
    "inside_module": main("", "h.scaled(p.grad)", inside="from . import helper as h"),
    "clash": main(
        "from .helper import scaled\nlog = 7.0\nEPS = 5.0",
        "scaled(p.grad) * log * EPS",
    ),
    "builtin": main("from .helper import scaled", "scaled(p.grad) * max(2, 3)"),
    "shadowed": main(
        "from .helper import max as larger", "p.grad * larger(2, 3) * min(1, 2)"
    ),
    "local": main(
        "from . import helper as h",
        "scaled * h.EPS",
        inside="scaled = h.scaled(torch.ones(()))",
    ),
    "again": main(
        "from .helper import scaled\n_kept = scaled\n"
        "def scaled(x):\n    return _kept(x) * 3",
        "scaled(p.grad)",
    ),
    "fallback": main(
        "try:\n    from .helper import scaled\nexcept ImportError:\n"
        "    from helper import scaled\nelse:\n    TWICE = 2",
        "scaled(p.grad) * TWICE",
    ),
    "several": main("import math, package.helper as h", "h.scaled(p.grad) * math.pi"),
    "lines": main(
        "from .helper import (\n    scaled,\n    EPS,\n)", "scaled(p.grad, EPS)"
    ),
    "formatted": main(
        "from . import helper as h",
        "h.scaled(p.grad)",
        inside='self.told = f"{h.EPS} and {h.log:.3f}"',
    ),
    "decorator": main(
        "from .helper import doubling as twice\n\n\n"
        "@twice\ndef own(x):\n    return x + 1",
        "own(p.grad)",
    ),
    "decorator_path": main(
        "from . import helper\n\n\n@helper.doubling\ndef own(x):\n    return x + 1",
        "own(p.grad)",
    ),
    "default": main(
        "from .helper import EPS as by, log\n\n\n"
        "def own(x, by=by, log=log):\n    return x * by * log",
        "own(p.grad)",
    ),
    "annotation": main(
        "from . import helper\n\n\ndef own(x: helper.Scale) -> helper.Scale:\n"
        "    return x",
        "own(p.grad)",
    ),
    "class": main("from .helper import Scale", "Scale().of(p.grad)"),
    "class_clash": main(
        "from .helper import Scale as S\n\n\nclass Scale(S):\n    eps = S.eps * 2",
        "Scale().of(p.grad) * Scale.eps",
    ),
    "comprehension": main(
        "from .helper import SMALL as s, log as x", "p.grad * sum(e * x for e in s)"
    ),
    "lambda": main(
        "from .helper import scaled", "(lambda log: scaled(p.grad) * log)(3)"
    ),
    "twice_imported": main(
        "from .helper import scaled\nfrom .helper import scaled as again",
        "scaled(p.grad) + again(p.grad)",
    ),
    "future": "from __future__ import annotations\n"
    + main("from .helper import scaled", "scaled(p.grad)"),
    "semicolons": main(
        "import math; from .helper import scaled; K = 2", "scaled(p.grad) * K * math.pi"
    ),
    "walrus": main("from .helper import EPS", "p.grad * (k := EPS) * k"),
    "hints": main(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from .main import Lion",
        "p.grad",
    ),
}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder that can be imported as `package`, holding the helper."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "helper.py").write_text(HELPER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("package", "helper", "second"):
            del sys.modules[name]


def sources(folder: Path, *names: str) -> list[SourceFile]:
    return [
        SourceFile(str(folder / name), (folder / name).read_text()) for name in names
    ]


def steps_of(rule: type) -> list[float]:
    import torch

    weight = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = rule([weight])
    for _ in range(3):
        weight.grad = torch.tensor([0.5, 0.25])
        optimizer.step()
    return weight.tolist()


def joined(folder: Path, *beside: str) -> Joined:
    return join(sources(folder, "main.py")[0], sources(folder, *beside))


def run_joined(source: str) -> dict[str, object]:
    namespace: dict[str, object] = {"__name__": "joined"}
    exec(compile(source, "joined", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_one_source_takes_the_steps_that_the_files_take(package, kind):
    (package / "main.py").write_text(KINDS[kind])
    import importlib

    separate = importlib.import_module("package.main")

    made = joined(package, "helper.py").source

    one = run_joined(made.text)
    assert steps_of(separate.Lion) == steps_of(one["Lion"])  # type: ignore[arg-type]
    report = check(made.text)
    assert report.ok, [str(finding) for finding in report.findings]


HANDED_ON = {
    "init": ("from . import scaled", "from .helper import scaled\n"),
    "init_star": ("from . import scaled", "from .helper import *\n"),
    "init_as": ("from . import scaled", "from .helper import scaled as scaled\n"),
    "package": ("from package import scaled", "from .helper import scaled\n"),
    "all": ("from . import *", "from .helper import *\n__all__ = ['scaled']\n"),
    "path": (
        "import package\nscaled = package.scaled",
        "from .helper import scaled\n",
    ),
}


HANDED_ON["module"] = (
    "from . import h\nscaled = h.scaled",
    "from . import helper as h\n",
)
HANDED_ON["its_name"] = (
    "from . import helper\nscaled = helper.scaled",
    "from . import helper\n",
)
HANDED_ON["far_module"] = (
    "import package as p\nscaled = p.helper.scaled",
    "from . import helper\n",
)


@pytest.mark.parametrize("kind", sorted(HANDED_ON))
def test_a_package_hands_on_what_its_files_define(package, kind):
    imports, init = HANDED_ON[kind]
    (package / "__init__.py").write_text(init)
    (package / "main.py").write_text(main(imports, "scaled(p.grad)"))
    (package / "plain.py").write_text(
        main("from .helper import scaled", "scaled(p.grad)")
    )

    one = run_joined(joined(package, "helper.py", "__init__.py").source.text)

    import importlib

    plain = importlib.import_module("package.plain")
    assert steps_of(plain.Lion) == steps_of(one["Lion"])  # type: ignore[arg-type]


def test_what_is_not_used_of_a_file_stays_out(package):
    (package / "main.py").write_text(KINDS["name"])

    made = joined(package, "helper.py")

    assert "os.getcwd" not in made.source.text
    assert "# How large a step is." in made.source.text
    assert 1 == len(made.files)


def test_each_line_knows_its_file_and_its_number(package):
    (package / "main.py").write_text(KINDS["name"])

    made = joined(package, "helper.py").source

    for line, (file, number) in zip(made.lines, made.origins, strict=True):
        if line.strip() and "__future__" not in line:
            assert line in Path(file).read_text().split("\n")[number - 1]


def test_a_file_that_imports_none_of_the_others_stays_as_it_is(package):
    (package / "main.py").write_text(main("", "p.grad"))

    made = joined(package, "helper.py")

    assert main("", "p.grad") == made.source.text
    assert () == made.files


def test_files_come_in_the_order_in_which_they_import_each_other(package):
    (package / "second.py").write_text("from .helper import EPS\nTWICE = EPS * 2\n")
    (package / "main.py").write_text(
        main("from .second import TWICE", "p.grad * TWICE")
    )

    made = joined(package, "second.py", "helper.py")

    text = made.source.text
    assert text.index("EPS = 1e-3") < text.index("TWICE = EPS * 2") < text.index("Lion")
    assert ["helper.py", "second.py"] == [Path(file).name for file in made.files]


@pytest.mark.parametrize(
    "through", ["from .helper import scaled", "from .helper import *"]
)
def test_a_name_that_a_file_hands_on_is_found(package, through):
    (package / "second.py").write_text(f"{through}\n")
    (package / "main.py").write_text(
        main("from .second import scaled", "scaled(p.grad)")
    )

    one = run_joined(joined(package, "second.py", "helper.py").source.text)

    assert steps_of(one["Lion"])  # type: ignore[arg-type]


def test_the_docstring_stays_first_and_the_future_before_all_else(package):
    text = '"""Lion.\n\ndux: stochastic\n"""\n' + KINDS["name"]
    (package / "main.py").write_text(text)

    made = joined(package, "helper.py").source.text

    assert made.startswith('"""Lion.')
    assert made.index("__future__") < made.index("import torch")
    run_joined(made)


def test_two_files_may_mean_two_things_by_one_name(package):
    (package / "second.py").write_text("def scaled(x):\n    return x * 100\n")
    (package / "main.py").write_text(
        main(
            "from . import helper, second",
            "helper.scaled(p.grad) + second.scaled(p.grad)",
        )
    )

    one = run_joined(joined(package, "helper.py", "second.py").source.text)

    import torch

    weight = torch.nn.Parameter(torch.zeros(1))
    weight.grad = torch.ones(1)
    one["Lion"]([weight]).step()  # type: ignore[operator]
    assert pytest.approx(-100.002) == weight.item()


WRONG = {
    "missing": (
        main("from .helper import scald", "scald(p.grad)"),
        "has no name scald; it has",
    ),
    "missing_attribute": (
        main("from . import helper", "helper.scald(p.grad)"),
        "helper.scald is nothing that",
    ),
    "value": (
        main("from . import helper", "getattr(helper, 'scaled')(p.grad)"),
        "the module helper is used as a value",
    ),
    "ring": (
        main("from .second import KINDS", "p.grad if KINDS else p.grad"),
        "files import each other: ",
    ),
    "broken": (main("from .broken import a", "a(p.grad)"), "cannot be read as Python"),
    "broken_star": (
        main("from .broken import *", "scaled(p.grad)"),
        "cannot be read as Python",
    ),
}


@pytest.mark.parametrize("kind", sorted(WRONG))
def test_what_cannot_be_one_source_is_told_in_words(package, kind):
    source, told = WRONG[kind]
    (package / "main.py").write_text(source)
    (package / "second.py").write_text("from .main import Lion as a\nKINDS = [a]\n")
    (package / "broken.py").write_text("def (\n")

    with pytest.raises(CannotJoin) as raised:
        joined(package, "helper.py", "second.py", "broken.py")

    assert told in raised.value.finding.message
    assert "import" == raised.value.finding.rule
    assert raised.value.finding.instead


CIRCLES = {
    "function": """
from .main import Lion
def scaled(x):
    return x * 2 if Lion else x
""",
    "package": """
from . import Lion, half
def scaled(x):
    return half(x) * 4 if Lion else x
""",
    "base": """
import package.main
from .third import Base, scaled
def unused():
    return package.main.Lion
""",
}


@pytest.mark.parametrize("kind", sorted(CIRCLES))
def test_files_may_import_each_other_where_only_functions_use_it(package, kind):
    (package / "__init__.py").write_text(
        "from .second import scaled\ndef half(x):\n    return x / 2\n"
        "from .main import Lion\n"
    )
    (package / "second.py").write_text(CIRCLES[kind])
    (package / "third.py").write_text(
        "import package.second\ndef scaled(x):\n    return x * 2\n"
        "class Base:\n    pass\n"
    )
    (package / "main.py").write_text(
        main("from .second import scaled", "scaled(p.grad)")
    )

    one = run_joined(
        joined(package, "__init__.py", "second.py", "third.py").source.text
    )

    plain = run_joined(main("", "(p.grad * 2)"))
    assert steps_of(plain["Lion"]) == steps_of(one["Lion"])  # type: ignore[arg-type]


UNUSED = {
    "itself": "from .main import Lion as L",
    "missing": "from .helper import scald",
    "broken": "from .broken import anything",
    "broken_file": "from . import broken",
    "circle": "from .second import EARLY",
}


@pytest.mark.parametrize("kind", sorted(UNUSED))
def test_what_nobody_uses_of_an_import_is_in_nobodys_way(package, kind):
    (package / "broken.py").write_text("def (\n")
    (package / "second.py").write_text("from .main import Lion\nEARLY = [Lion]\n")
    (package / "main.py").write_text(
        main(f"{UNUSED[kind]}\nfrom .helper import scaled", "scaled(p.grad)")
    )

    made = joined(package, "helper.py", "broken.py", "second.py")

    assert ["helper.py"] == [Path(file).name for file in made.files]
    assert check(made.source.text).ok


@pytest.mark.parametrize("name", ["copy.py", "types.py", "torch.py", "math.py"])
def test_a_file_beside_takes_the_place_of_nothing_installed(tmp_path, name):
    (tmp_path / name).write_text("pi = 4\n")
    stem = name.partition(".")[0]
    (tmp_path / "main.py").write_text(main(f"import {stem}", "p.grad"))

    assert () == joined(tmp_path, name).files


def test_an_import_inside_a_function_makes_no_ring(package):
    (package / "second.py").write_text(
        "def late():\n    from .main import Lion\n    return Lion\n\nA = 2\n"
    )
    (package / "main.py").write_text(main("from .second import A", "p.grad * A"))

    one = run_joined(joined(package, "second.py").source.text)

    assert steps_of(one["Lion"])  # type: ignore[arg-type]
