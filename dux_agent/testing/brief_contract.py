"""What a brief promises, as tests that anybody's brief inherits."""

from collections.abc import Callable
from typing import ClassVar

from dux_agent.testing.contract import ContractTestCase
from dux_graphs.proposals import Brief
from dux_prompts.observation import Observation
from dux_prompts.reply import Proposal
from dux_sandbox.findings import Finding

_FOUND = "found by nobody but this test"
_ATTEMPT = {
    "try": 1,
    "candidate": 1,
    "source": "what = 'was proposed'",
    "digest": "0" * 64,
    "stage": "static_check",
    "ok": False,
    "findings": [Finding("of_the_test", 1, _FOUND, "nothing").as_dict()],
    "losses": [],
    "incumbent_losses": [],
}
_REPLIES = (
    "",
    " \n\t",
    "prose alone",
    "```",
    "```python\n```",
    "~~~\n" * 50,
    '{"json": [1, 2',
    "\x00\ud800 odd characters",
    "a" * 100_000,
)


class BriefTestCase(ContractTestCase):
    """Tries one brief; for pytest and unittest alike.

        class TestMine(BriefTestCase):
            good_replies = ("lr=0.1",)

            def make(self):
                return MyBrief()

    Attributes:
        good_replies: of a language model, each with a proposal in it.
    """

    good_replies: ClassVar[tuple[str, ...]] = ()

    __test__ = False  # itself, where a module of tests imports it
    nothing_to_try = "there is no brief to try; inherit it and make one"

    def make(self) -> Brief:
        """The brief."""
        raise NotImplementedError("override make()")

    def observation(self) -> Observation:
        """A training of which little is known; override it to say more."""
        return Observation(
            model={"kind": "Linear", "parameters": 3, "layers": []},
            base_optimizer={"name": "SGD", "groups": [{"lr": 0.1}]},
            step=10,
            total_steps=100,
            interval=10,
            decision=1,
            decisions_left=3,
            losses=[[0, 1.0], [5, 0.5]],
        )

    def test_every_prompt_says_something_and_the_same_each_time(self) -> None:
        brief, observation = self.make(), self.observation()
        prompts: dict[str, Callable[[], str]] = {
            "system": lambda: brief.system(observation),
            "update": lambda: brief.update(observation),
            "repair": lambda: brief.repair([_ATTEMPT], 1),
            "another": lambda: brief.another(2, 3),
        }
        for name, ask in prompts.items():
            text = ask()
            self.assertIsInstance(text, str, f"{name}() must give a text")
            self.assertTrue(text.strip(), f"{name}() gave no text")
            said = "says something else the second time; a replay would not find"
            self.assertEqual(text, ask(), f"{name}() {said} its reply")

    def test_a_repair_tells_what_was_found(self) -> None:
        text = self.make().repair([_ATTEMPT], 1)

        self.assertIn(_FOUND, text, "repair() leaves out the message of a finding")

    def test_no_reply_is_too_odd_to_be_read(self) -> None:
        brief = self.make()
        for reply in _REPLIES:
            said = f"read({reply[:20]!r}) must give a Proposal or a Finding"
            self.assertIsInstance(brief.read(reply), Proposal | Finding, said)

    def test_good_replies_are_read(self) -> None:
        self.assertTrue(self.good_replies, "name at least one good reply")
        for reply in self.good_replies:
            read = self.make().read(reply)
            self.assertIsInstance(read, Proposal, f"read() found {read}")
            self.assertEqual(read, self.make().read(reply))
