"""Files run in the jail alone, without a rule's guards, and are compared."""

from __future__ import annotations

import sys

import pytest

from dux_sandbox.gathering.modules import SourceFile
from dux_sandbox.process.spawning import Zygote
from dux_sandbox.same_steps import CannotRun, PlainRun, difference, run_plainly
from tests.attacks.broken_jails import boot

RULE = """
import torch


class Rule(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1, nesterov=False, weight_decay=0):
        super().__init__(params, dict(lr=lr, nesterov=nesterov, decay=weight_decay))

    @torch.no_grad()
    def step(self, {closure}):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    {body}
                    p.add_(p.grad, alpha=-group["lr"])
"""


def rule(body="pass", closure="closure=None", before=""):
    return before + RULE.format(body=body, closure=closure)


def run(text, *beside, **options):
    files = [SourceFile("/home/rule.py", text), *beside]
    return run_plainly(files, {"Rule": {}}, **options)


HARM = {
    "a program": "import os; os.system('true')",
    "a process": "import os; os.fork()",
    "a file": "open('/etc/hostname').read()",
    "a file to write": "open('/tmp/dux_harmed', 'w')",
    "a folder": "import os; os.listdir('/')",
    "the network": "import socket; socket.create_connection(('127.0.0.1', 9))",
    "a thread": "import threading; threading.Thread(target=print).start()",
    "a signal": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "much memory": "held = bytearray(1 << 34)",
    "for ever": "while True: pass",
    "the end": "import os; os._exit(0)",
    "a foreign word": "import os; os.write(3, b'{}')\nos.write(100, b'nonsense')",
}


@pytest.mark.parametrize("what", sorted(HARM))
def test_a_file_that_reaches_for_something_gets_nothing_and_is_told(what):
    text = rule(before=f"{HARM[what]}\n")

    try:
        held = run(text, seconds=5.0)
    except CannotRun as error:
        assert str(error)
    else:
        assert "a program" == what  # os.system tells by its value alone
        assert held.episodes["Rule"]


def test_the_same_file_takes_the_same_steps_and_another_does_not():
    one, again, other = run(rule()), run(rule()), run(rule("p.mul_(0.999999)"))

    assert "" == difference(one, again)
    assert "step 1 leads to other weights" in difference(one, other)


@pytest.mark.parametrize("option", ["nesterov", "decay"])
def test_what_an_option_switches_on_is_compared_too(option):
    one = run(rule(f"p.mul_(0.5 if group['{option}'] else 1.0)"))
    other = run(rule(f"p.mul_(0.25 if group['{option}'] else 1.0)"))

    assert "step 1 leads to other weights" in difference(one, other)


@pytest.mark.parametrize("closure", ["", "closure", "*, closure=None", "closure=None"])
def test_a_step_gets_its_closure_where_it_takes_one(closure):
    held = run(rule(closure=closure))

    assert {""} == {raised for _, raised in held.episodes["Rule"].values()}


def test_random_numbers_are_the_same_in_both():
    noisy = rule(
        "p.add_(torch.randn_like(p)).mul_(random.random())", before="import random"
    )

    assert "" == difference(run(noisy), run(noisy))


def test_a_class_that_takes_no_step_shows_nothing():
    broken = run(rule("raise KeyError('no')"))

    assert "takes no step at all: it raised KeyError" in difference(broken, broken)


def test_a_package_that_is_missing_has_a_stand_in_that_is_told():
    text = rule(before="import no_such_package as nsp\n").replace(
        "class Rule", "@nsp.register('x')\nclass Rule"
    )

    held = run(text)

    assert ("no_such_package",) == held.missing
    assert "" == difference(held, run(rule()))


def test_what_a_stand_in_is_asked_for_raises():
    held = run(rule("p.mul_(nsp.rate)", before="import no_such_package as nsp\n"))

    assert "takes no step" in difference(held, held)


def test_an_import_that_may_fail_fails():
    before = "try:\n    import no_such_package\nexcept ImportError:\n    RATE = 0.5\n"

    held = run(rule("p.mul_(RATE)", before=before))

    assert () == held.missing
    assert "" == difference(held, run(rule("p.mul_(0.5)")))


def test_files_beside_are_imported_from_their_text():
    helper = SourceFile("/home/helper.py", "HALF = 0.5\n")

    for before in ("from .helper import HALF\n", "from helper import HALF\n"):
        held = run(rule("p.mul_(HALF)", before=before), helper)
        assert "" == difference(held, run(rule("p.mul_(0.5)")))


def test_lines_that_are_run_are_noted():
    text = rule("p.mul_(0.5) if group['nesterov'] else None\n" + 20 * " " + "p.add_(0)")

    lines = run(text, watch=True).lines

    numbers = {n for n, line in enumerate(text.split("\n"), 1) if "p.add_" in line}
    assert numbers <= lines


def test_other_options_are_no_agreement():
    one = PlainRun({"Rule": {"a": ([[1.0]], "")}})
    other = PlainRun({"Rule": {"b": ([[1.0]], "")}})

    assert difference(one, other)
    assert difference(one, PlainRun({}))


FORGED = {
    "a number too large": '{"class": "Rule", "episodes": {"a": [[[10 ** 400]], ""]}}',
    "rows that are none": '{"class": "Rule", "episodes": {"a": [7, ""]}}',
    "a pair that is none": '{"class": "Rule", "episodes": {"a": 7}}',
    "no object": '{"class": "Rule", "episodes": [[[[]]]]}',
    "a text for a number": '{"class": "Rule", "episodes": {"a": [[["x"]], ""]}}',
}
# A file finds its channel and answers in the worker's place.
FORGES = """
import gc
for channel in [c for c in gc.get_objects() if type(c).__name__ == "Channel"]:
    channel.send({answer})
    channel.send({last})
"""


@pytest.mark.parametrize("kind", sorted(FORGED))
def test_a_forged_answer_is_told_as_one_that_makes_no_sense(kind):
    text = rule(before=FORGES.format(answer=FORGED[kind], last="{}"))

    with pytest.raises(CannotRun, match="its answer makes no sense"):
        run(text)


def test_words_of_a_forged_answer_are_few_and_no_terminal_obeys_them():
    answer = '{"episodes": {"\\x1b[2J\\n" * 1000: [[[1.0]], "\\x1b[2J\\n" * 1000]}}'
    last = '{"missing": ["\\x1b[2J\\n" * 1000] * 1000}'

    held = run(rule(before=FORGES.format(answer=answer, last=last)))

    ((name, (_, raised)),) = held.episodes["Rule"].items()
    for words in (name, raised, " ".join(held.missing)):
        assert words.isprintable() and len(words) < 2000


@pytest.mark.skipif(sys.platform != "linux", reason="the layers are Linux's own")
@pytest.mark.parametrize(
    ("jail", "said"),
    [
        ("without_seccomp", "this system lacks seccomp of the jail"),
        ("that_lies", "can be reached out of the jail"),
    ],
)
def test_without_a_whole_jail_nothing_is_run(jail, said, monkeypatch):
    warm = Zygote(boot(jail))
    monkeypatch.setattr("dux_sandbox.process.spawning.zygote", lambda of: warm)

    try:
        with pytest.raises(CannotRun, match=said):
            run(rule())
    finally:
        warm.close()
