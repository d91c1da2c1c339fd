"""Jails that lack a layer, or say that they have it; run in the warm process."""

from __future__ import annotations


def boot(name: str) -> str:
    """What a `Zygote` is told to run, so that its children have this jail."""
    return (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        f"from tests.attacks import broken_jails; broken_jails.{name}(); "
        "from dux_sandbox.process.zygote import main; main(int(sys.argv[2]))"
    )


def _refused() -> None:
    """A layer that this system refuses."""
    from dux_sandbox.process.jail import LayerMissing

    raise LayerMissing("unshare: Operation not permitted")


def _nothing() -> None:
    """A layer that does nothing."""


def in_docker() -> None:
    """No namespaces and no Landlock, as in a container."""
    from dux_sandbox.process import jail

    jail.LAYERS |= {"namespaces": _refused, "landlock": _refused}


def without_seccomp() -> None:
    """A kernel without the last layer."""
    from dux_sandbox.process import jail

    jail.LAYERS |= {"seccomp": _refused}


def that_lies() -> None:
    """Layers that say they hold, and hold nothing."""
    from dux_sandbox.process import jail

    jail.LAYERS |= {"landlock": _nothing, "seccomp": _nothing}
