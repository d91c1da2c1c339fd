"""What a package of your own inherits to try what it adds: contracts, as test cases."""

from dux_agent.testing.brief_contract import BriefTestCase as BriefTestCase
from dux_agent.testing.strategy_contract import StrategyTestCase as StrategyTestCase
from dux_agent.testing.task_contract import TaskTestCase as TaskTestCase
