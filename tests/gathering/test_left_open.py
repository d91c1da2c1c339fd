"""Classes that leave a part of their step to those built on them get no verdict."""

import pytest

from dux_sandbox.gathering.outline import outline

_BASE = """
import abc
import torch

class Base(torch.optim.SGD):
    {left}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                self.update(p, p.grad, group["lr"])
"""
_SON = """
class Son(Base):
    def update(self, p, gradient, rate):
        p.sub_(gradient, alpha=rate)
"""
LEFT = {
    "raises": "def update(self, p, g, lr):\n        raise NotImplementedError",
    "raises it with words": "def update(self, p, g, lr):\n"
    '        """For others."""\n        raise NotImplementedError("write it")',
    "abstract": "@abc.abstractmethod\n    def update(self, p, g, lr):\n"
    '        """For others."""',
    "static": "@staticmethod\n    def update(p, g, lr):\n"
    "        raise NotImplementedError()",
}
KEPT = {
    "does something": "def update(self, p, g, lr):\n        p.sub_(g)",
    "raises now and then": "def update(self, p, g, lr):\n"
    "        if p.is_sparse:\n            raise NotImplementedError\n        p.sub_(g)",
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_a_base_with_a_method_that_only_raises_is_no_rule(left):
    about = outline(_BASE.format(left=left) + _SON)

    assert ("Son",) == about.rules
    assert ("Base",) == about.bases


@pytest.mark.parametrize("left", KEPT.values(), ids=KEPT)
def test_a_base_that_steps_by_itself_is_a_rule(left):
    assert ("Base", "Son") == outline(_BASE.format(left=left) + _SON).rules


def test_a_class_that_nobody_builds_on_is_judged_whatever_it_leaves_open():
    assert ("Base",) == outline(_BASE.format(left=LEFT["raises"])).rules


def test_what_a_main_block_binds_is_not_needed_by_a_class_that_has_such_a_variable():
    demo = "def demo(model):\n    return model.named_parameters()\n\n"
    main = 'if __name__ == "__main__":\n    p = demo(None)\n'
    about = outline(_BASE.format(left=KEPT["does something"]) + demo + main)

    kept = {getattr(each, "name", "") for each in about.needed(["Base"])}

    assert {"Base", ""} == kept
