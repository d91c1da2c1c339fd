"""An option that `attach` does not have is refused by every integration."""

from importlib import import_module
from types import SimpleNamespace

import pytest

NAMES = {
    "evry": "did you mean 'every'",
    "total_step": "did you mean 'total_steps'",
    "modle": None,
    "zzz": None,
}


def in_lightning(**options):
    import_module("dux_agent.integrations.lightning").DuxCallback(**options)


def in_accelerate(**options):
    attach = import_module("dux_agent.integrations.accelerate").attach
    attach(SimpleNamespace(), None, None, None, **options)


def in_transformers(**options):
    attach = import_module("dux_agent.integrations.transformers").attach_trainer
    attach(SimpleNamespace(), **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("attach", [in_lightning, in_accelerate, in_transformers])
@pytest.mark.parametrize("name", NAMES)
def test_the_error_names_the_nearest_option_and_all_there_are(name, attach):
    pytest.importorskip(attach.__name__.removeprefix("in_"))

    with pytest.raises(TypeError) as refused:
        attach(**{name: 5})

    told = str(refused.value)
    assert f"attach has no option {name!r}; {NAMES[name] or ''}" in told
    assert "execution, lr_owner" in told
    assert "model, optimizer" not in told
