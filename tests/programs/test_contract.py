"""What a program must define is judged before anything of it runs."""

import pytest

from dux_prompts.tuning.program import headline, same_text
from dux_sandbox.programs.contract import examine
from dux_sandbox.programs.optimizers import optimizers_in
from tests.programs.honest_programs import HONEST, fit, parts


@pytest.mark.parametrize(
    ("source", "rule", "line"),
    [
        ("def fit_predict(:", "syntax", 1),
        ("x = 1", "contract", None),
        ("def build(n): ...\ndef make_optimizer(m): ...", "contract", None),
        ("def fit_predict(x): ...", "contract", 1),
        ("async def fit_predict(x, y, e, s): ...", "contract", 1),
        ("def fit_predict(x, y, e, s, *, more): ...", "contract", 1),
        (parts().replace("make_optimizer(model)", "make_optimizer()"), "contract", 8),
        (parts(more='"loss": "l7"'), "hparams", 11),
        (parts(more='"epochs": 2.5'), "hparams", 11),
        (parts(more='"batch": 3'), "hparams", 11),
        ("HPARAMS = 3\ndef build(n): ...\ndef make_optimizer(m): ...", "hparams", 1),
        (fit("import torch", "torch.compile(x_train)"), "jail", 6),
        (fit("", "DataLoader(x_train, num_workers=4)"), "jail", 6),
        (fit("", "Forest(n_jobs=-1)"), "jail", 6),
        ("x = '" + "a" * 100_000 + "'", "size", None),
        ("(" * 5000, "size", None),
        ("x = 1\x00", "syntax", None),
        ("# \u202e\nx = 1", "hidden", None),
    ],
)
def test_what_cannot_run_is_found_with_its_line(source, rule, line):
    found = examine(source).findings

    assert found
    if rule in ("syntax", "contract", "hparams", "jail"):
        assert rule == found[0].rule
    if line is not None:
        assert line == found[0].line
    assert all(each.instead for each in found)


@pytest.mark.parametrize(
    "source",
    [
        "x = " + "1 + " * 9000 + "1",
        "x = " + "a" + ".b()" * 9000,
        "x = " + "-" * 90 + "1",
        "x = " + "[" * 150 + "]" * 150,
        "HPARAMS = {" + ",".join(f"{n}:1" for n in range(9000)) + "}",
        "if a: ...\n" + "elif b: ...\n" * 3000,
    ],
    ids=lambda text: text[:12],
)
def test_no_source_is_too_odd_to_be_judged_and_told_apart(source):
    found = examine(f"def fit_predict(*a): ...\n{source}\n").findings

    assert same_text(f"{source}\n")
    assert headline(source) == ""
    assert len(found) <= 12


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        (parts(), "build"),
        (fit("", "return x_eval[:, 0]"), "fit_predict"),
        (parts() + fit("", "return x_eval[:, 0]"), "fit_predict"),
        ("fit_predict = lambda *a: a[2][:, 0]", "fit_predict"),
        ("def fit_predict(*given): ...", "fit_predict"),
        ("def fit_predict(a, b, c, d=0, e=1): ...", "fit_predict"),
        ("try:\n    from x import fit_predict\nexcept E: ...", "fit_predict"),
        (parts().replace('"batch_size": 16, ', '"batch_size": 2 ** 4'), "build"),
        (fit("", "Forest(n_jobs=1, x=DataLoader(num_workers=0))"), "fit_predict"),
    ],
)
def test_what_can_run_is_told_by_its_entry(source, entry):
    held = examine(source)

    assert ((), entry) == (held.findings, held.entry)


def test_an_optimizer_of_its_own_is_judged_as_dux_check_does():
    sound = HONEST["with an optimizer of its own"]
    refused = sound.replace("import torch\n", "import torch\nimport os\n", 1).replace(
        "if p.grad is None", "os.getpid()\n                if p.grad is None"
    )

    assert ["Lion: passes dux check"] == [str(e) for e in optimizers_in(sound)]
    assert ["Lion"] == [e.name for e in optimizers_in(refused)]
    assert "refused by dux check, line 3:" in str(optimizers_in(refused)[0])


@pytest.mark.parametrize("source", [parts(), "def fit_predict(:", "x = 1"])
def test_a_program_without_an_optimizer_of_its_own_has_none_judged(source):
    assert () == optimizers_in(source)
