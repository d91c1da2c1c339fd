"""A refused import is told with what uses it: that is what has to be taken out."""

from __future__ import annotations

import pytest

from dux_sandbox.static_check import check
from tests.rule_sources import rule

# Statement at the top, line of the step, and the names and lines that are told.
FOREIGN = {
    "module": ("import numpy", "numpy.sqrt(2)", "import of numpy; numpy is used in"),
    "alias": ("import numpy as np", "np.sqrt(2)", "import of numpy; np is used in"),
    "name": ("from einops import rearrange", "rearrange(p)", "rearrange is used in"),
    "name_as": ("from einops import rearrange as r", "r(p)", "; r is used in"),
    "distributed": (
        "import torch.distributed as dist",
        "dist.all_reduce(p)",
        "import of torch.distributed; dist is used in",
    ),
    "distributed_path": (
        "import torch.distributed",
        "torch.distributed.barrier()",
        "torch.distributed is used in",
    ),
    "distributed_name": (
        "from torch.distributed import all_reduce, barrier",
        "all_reduce(p)",
        "all_reduce is used in",
    ),
    "out_of_torch": (
        "from torch import distributed as dist",
        "dist.barrier()",
        "torch.distributed is not available; dist is used in",
    ),
    "submodule": ("import scipy.linalg", "scipy.linalg.inv(p)", "scipy.linalg is used"),
    "beside": ("from .kernels import fused", "fused(p)", "; fused is used in"),
}


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_a_refused_import_names_what_it_brings_and_the_lines_that_use_it(name):
    statement, use, told = FOREIGN[name]
    source = f"{statement}\n" + rule(use)
    line = source[: source.index(use)].count("\n") + 1

    found = [each for each in check(source).findings if told in each.message]

    assert [1] == [each.line for each in found]
    assert found[0].message.endswith(f"line {line}")
    assert found[0].instead.startswith("take out the import and what uses it; ")


@pytest.mark.parametrize("statement", ["import os", "import numpy as np"])
def test_an_import_that_nothing_uses_is_said_to_be_unused(statement):
    (found,) = check(f"{statement}\n" + rule()).findings

    assert found.message.endswith("is not used")
    assert found.instead.startswith("take the import out; ")


def test_many_uses_are_told_in_short():
    uses = "\n".join("np.sqrt(2)" for _ in range(30))

    found = check("import numpy as np\n" + rule(uses)).findings[0]

    assert "22 more" in found.message


def test_a_file_beside_is_said_to_be_one_that_can_be_judged_with_it():
    found = check("from .kernels import fused\n" + rule("fused(p)")).findings[0]

    assert "dux check --with FILE" in found.instead
