"""Workers in a cluster of Ray's, whose machines are taken away."""

from contextlib import contextmanager

import pytest

from dux_agent import testing
from dux_agent.errors import DuxError

ray = pytest.importorskip("ray", reason="Ray is not installed: dux-agent[ray]")

from ray.cluster_utils import Cluster  # noqa: E402

from dux_agent.evolving.evolve import evolve  # noqa: E402
from dux_agent.integrations.ray import connected, ray_workers  # noqa: E402
from tests.evolving.test_evolve import _found, _plan  # noqa: E402

# Ray's own warnings of its own future, and files that it leaves to the end.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(1200),
]


class TestRay(testing.EngineTestCase):
    @pytest.fixture(autouse=True, scope="class")
    def cluster(self):
        with connected(None, 2):
            yield

    def make(self, count, most_bytes, say):
        return ray_workers(count, most_bytes=most_bytes, say=say)


@contextmanager
def _two_machines():
    """A cluster of two machines with a core each, beside its head, which has none."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        yield cluster, [cluster.add_node(num_cpus=1) for _ in range(2)]
    finally:
        cluster.shutdown()


def test_a_search_whose_machines_are_killed_finds_what_another_finds(tmp_path):
    plan = _plan(workers=2)
    whole = evolve(plan, tmp_path / "whole")
    said = []
    with _two_machines() as (cluster, machines), connected(cluster.address) as cores:

        def kill_a_machine(line):
            said.append(line)
            if line.startswith("search: ") and machines:
                cluster.remove_node(machines.pop(), allow_graceful=False)
                machines_added.append(cluster.add_node(num_cpus=1))

        machines_added = []
        evolve(plan, tmp_path / "killed", kill_a_machine, engine=ray_workers)

    assert 2 == cores
    assert not machines
    assert 2 == len(machines_added)
    assert any("died" in line for line in said)
    assert _found(whole) == _found(tmp_path / "killed")


def test_where_no_cluster_is_that_is_said_in_one_line():
    with pytest.raises(DuxError, match="Ray cannot be had at 127.0.0.1:1"):
        with connected("127.0.0.1:1"):
            pass
