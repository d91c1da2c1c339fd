"""The jail holds on this system, layer by layer."""

import sys

import pytest

from dux_sandbox.process import jail
from dux_sandbox.process.spawning import zygote


@pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's")
def test_every_layer_holds_on_linux():
    layers = {layer.name: layer for layer in zygote().layers()}

    assert list(jail.LAYERS) == list(layers)
    missing = {name: each.detail for name, each in layers.items() if not each.active}
    assert {} == missing
