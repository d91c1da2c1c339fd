"""The jail holds on this system, layer by layer."""

import subprocess
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


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for it")
def test_a_fork_whose_maker_died_before_it_could_follow_ends():
    with subprocess.Popen(["true"]) as maker:
        maker.wait()
    locked = (
        "from dux_sandbox.process import jail\n"
        f"jail.lock(only=['parent-death'], parent={maker.pid})\n"
        "raise SystemExit('it went on')"
    )

    ended = subprocess.run([sys.executable, "-c", locked], capture_output=True)

    assert (9, b"") == (ended.returncode, ended.stderr)
