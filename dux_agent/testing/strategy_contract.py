"""What a strategy promises, as tests that anybody's strategy inherits."""

import copy
import math
from collections.abc import Sequence
from typing import Any

from dux_agent.testing.contract import ContractTestCase
from dux_graphs.search.archive import Archive
from dux_graphs.search.strategy import Attempt, Outcome, Request, Strategy
from dux_prompts.observation import Observation
from dux_sandbox.findings import digest_of

_FOUND = {"rule": "of_the_test", "line": 1, "message": "it is bad", "instead": "good"}
_DECISIONS = 6


class StrategyTestCase(ContractTestCase):
    """Tries one strategy; for pytest and unittest alike.

    class TestMine(StrategyTestCase):
        def make(self):
            return MyStrategy(OptimizerBrief())
    """

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no strategy to try; inherit it and make one"

    def make(self) -> Strategy:
        """The strategy, as a run begins with it."""
        raise NotImplementedError("override make()")

    def observation(self, decision: int) -> Observation:
        """A training before its decision of that number; override it to say more."""
        return Observation(
            model={"kind": "Linear", "parameters": 3, "layers": []},
            base_optimizer={"name": "SGD", "groups": [{"lr": 0.1}]},
            step=10 * decision,
            total_steps=100,
            interval=10,
            decision=decision,
            decisions_left=9 - decision,
            losses=[[0, 1.0], [5, 0.5]],
        )

    def test_it_asks_for_something_at_every_point_of_a_run(self) -> None:
        for observation, archive, tries_left in self._moments():
            asked = self._told(archive).requests(observation, archive, tries_left)

            self.assertTrue(asked, f"requests() gave nothing with {tries_left} left")
            for request in asked:
                self.assertIsInstance(request, Request)
                self.assertTrue(request.prompt.strip(), "a request has no prompt")
                warm = request.temperature
                self.assertTrue(warm is None or 0 <= warm < math.inf, f"{warm} is odd")

    def test_what_was_found_in_the_last_try_is_said_in_the_next_one(self) -> None:
        for observation, archive, tries_left in self._moments():
            if not archive or archive[-1].decision != observation.decision:
                continue
            asked = self._told(archive).requests(observation, archive, tries_left)

            said = "\n".join(request.prompt for request in asked)
            self.assertIn(
                _FOUND["message"],
                said,
                "the model never hears why it was refused: begin with "
                "dux_graphs.search.best_dry_run.first_prompt, or with brief.repair",
            )

    def test_parents_are_proposals_of_the_run(self) -> None:
        for observation, archive, tries_left in self._moments():
            known = {outcome.digest for outcome in archive}
            for request in self._told(archive).requests(
                observation, archive, tries_left
            ):
                self.assertLessEqual(set(request.parents), known)

    def test_a_resumed_run_asks_as_the_one_that_did_not_die(self) -> None:
        going_on = self.make()
        told: set[int] = set()
        for observation, archive, tries_left in self._moments():
            for outcome in _lived(archive):
                if outcome.decision not in told:
                    told.add(outcome.decision)
                    going_on.tell(outcome)

            resumed = self._told(archive).requests(observation, archive, tries_left)

            self.assertEqual(
                going_on.requests(observation, archive, tries_left),
                resumed,
                "it asks otherwise after a restart: let it depend on its arguments and "
                "on what it is told alone",
            )

    def test_nothing_that_it_is_shown_is_changed(self) -> None:
        for observation, archive, tries_left in self._moments():
            before = copy.deepcopy((observation, archive))
            self._told(archive).requests(observation, archive, tries_left)
            passed = _passed(1.0, 0.5)
            kept = copy.deepcopy(passed)
            self.make().choose(passed)

            self.assertEqual(before, (observation, archive))
            self.assertEqual(kept, passed)

    def test_of_none_that_passed_none_is_chosen(self) -> None:
        self.assertIsNone(self.make().choose([]))

    def test_it_chooses_among_those_that_passed_until_none_is_left(self) -> None:
        for losses in ((1.0,), (1.0, 0.5, 0.7), (math.inf, math.nan, 0.1), (1.0, 1.0)):
            strategy, passed = self.make(), _passed(*losses)
            for _ in range(len(losses)):
                chosen = strategy.choose(passed)
                if chosen is None:
                    break
                self.assertIn(chosen, passed, "it chose what had not passed")
                again = strategy.choose(passed)
                self.assertEqual(chosen, again, "it chooses otherwise when asked again")
                left = [each for each in passed if each is not chosen]
                self.assertEqual(len(passed) - 1, len(left), "it chose a copy")
                passed = left

    def _told(self, archive: Sequence[Outcome]) -> Strategy:
        """A fresh one that has heard what a run with this archive tells."""
        strategy = self.make()
        for outcome in _lived(archive):
            strategy.tell(outcome)
        return strategy

    def _moments(self) -> list[tuple[Observation, list[Outcome], int]]:
        """Before the first try of each decision of a run, and before a repair."""
        moments: list[tuple[Observation, list[Outcome], int]] = []
        archive = Archive()
        for decision in range(1, _DECISIONS + 1):
            seen = {"loss_fifths": [1.0 / decision] * 5}
            archive.hear("observation", seen, step=10 * decision, decision=decision)
            observation = self.observation(decision)
            moments.append((observation, list(archive.outcomes()), 3))
            archive.take(decision, _attempt(decision, 1, 1, ok=False))
            moments.append((observation, list(archive.outcomes()), 2))
            applied = _attempt(decision, 2, 1, ok=True)
            archive.take(decision, applied)
            end = {"verdict": "applied", "digest": applied["digest"]}
            archive.hear("apply", end, step=10 * decision, decision=decision)
            if decision % 3 == 0:
                archive.hear("rollback", end, step=10 * decision, decision=decision)
        return moments


def _lived(archive: Sequence[Outcome]) -> list[Outcome]:
    return [outcome for outcome in archive if outcome.live_losses]


def _attempt(
    decision: int, number: int, candidate: int, *, ok: bool, loss: float = 0.5
) -> dict[str, Any]:
    source = f"rule = {decision, number, candidate}"
    return {
        "try": number,
        "candidate": candidate,
        "source": source,
        "digest": digest_of(source),
        "stage": "dry_run" if ok else "static_check",
        "ok": ok,
        "findings": [] if ok else [dict(_FOUND)],
        "losses": [1.0, 0.8, loss] if ok else [],
        "incumbent_losses": [1.0, 0.9, 0.8] if ok else [],
    }


def _passed(*losses: float) -> list[Attempt]:
    return [
        _attempt(1, 1, place, ok=True, loss=loss)
        for place, loss in enumerate(losses, start=1)
    ]
