from dux_agent import testing
from dux_agent.engines.processes import processes


class TestProcesses(testing.EngineTestCase):
    def make(self, count, most_bytes, say):
        return processes(count, most_bytes=most_bytes, say=say)
