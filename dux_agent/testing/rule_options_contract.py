"""What a kind of execution promises of a rule's options, as tests."""

import copy

import torch

from dux_agent.testing.executed_rules import RULE, ExecutedRules, gradient, step

_STEPPED = "        return loss\n"
_DECAYS = RULE.replace(
    _STEPPED,
    f"        for group in self.param_groups:\n"
    f'            group["lr"] = group["lr"] * 0.5\n{_STEPPED}',
)
_LOOKS = RULE.replace(
    _STEPPED, f"        self.seen = str(sorted(self.param_groups[0]))\n{_STEPPED}"
)


class RuleOptionsTestCase(ExecutedRules):
    """Part of `RunningRuleTestCase`: a rule shares its own options with the loop."""

    __test__ = False

    def test_what_a_rule_writes_to_its_options_is_in_the_loops_groups(self) -> None:
        parameters = self.parameters()
        rule, groups = self.rule(parameters, _DECAYS)

        step(rule, parameters, 1)
        groups[0]["lr"] = 0.8  # the loop goes on from there, and so does the rule
        step(rule, parameters, 2, first=1)

        self.assertEqual(
            [0.2, 0.0125],
            [group["lr"] for group in groups],
            "what a rule writes to its own options does not reach the bound groups",
        )

    def test_only_options_that_are_the_rules_own_are_shared(self) -> None:
        parameters = self.parameters()
        expected = copy.deepcopy(parameters)
        rule, groups = self.rule(parameters)
        groups[0]["momentum"] = 0.0  # of the loop: the rule has one of that name, 0.5

        rule.bind(groups, [{"lr"}, {"lr", "momentum"}])
        step(rule, parameters, 2)

        velocity = torch.zeros_like(expected[0])
        for number in range(2):
            velocity.mul_(0.5).add_(gradient(expected[0], number))
            expected[0].data.add_(velocity, alpha=-0.1)
        message = "bind() takes no account of which options are the rule's own"
        self._near(expected[:1], parameters[:1], message)
        self.assertEqual(0.0, groups[0]["momentum"], message)
        self.assertEqual([{"lr"}, {"lr", "momentum"}], rule.owned, message)

    def test_options_of_the_loop_do_not_reach_the_rule(self) -> None:
        parameters = self.parameters()
        rule, groups = self.rule(parameters, _LOOKS)
        groups[0]["of_the_loop"] = print

        step(rule, parameters, 1)

        self.assertEqual(
            "['lr', 'momentum', 'params']",
            rule.snapshot().attributes["seen"],
            "a rule meets options of the loop; give it those that it owns",
        )
        self.assertIs(print, groups[0]["of_the_loop"])
