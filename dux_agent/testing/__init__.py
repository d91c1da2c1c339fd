"""What a package of your own inherits to try what it adds: contracts, as test cases."""

from dux_agent.testing.brief_contract import BriefTestCase as BriefTestCase
from dux_agent.testing.engine_contract import EngineTestCase as EngineTestCase
from dux_agent.testing.execution_contract import (
    RunningRuleTestCase as RunningRuleTestCase,
)
from dux_agent.testing.loss_feed_contract import LateLosses as LateLosses
from dux_agent.testing.loss_feed_contract import LossFeedTestCase as LossFeedTestCase
from dux_agent.testing.ranks_contract import RanksTestCase as RanksTestCase
from dux_agent.testing.ranks_contract import ThreadRanks as ThreadRanks
from dux_agent.testing.strategy_contract import StrategyTestCase as StrategyTestCase
from dux_agent.testing.task_contract import TaskTestCase as TaskTestCase
from dux_agent.testing.training_contract import TrainingTestCase as TrainingTestCase
