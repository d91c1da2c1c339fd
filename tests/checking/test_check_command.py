"""`dux check`: classes, folders, files beside, scripts, the user's own model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.cli import app

RULE = """
class {name}({base}):
    def __init__(self, params, lr=0.01):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    {body}
                    p.add_(p.grad, alpha=-group["lr"])
"""
OPTIMIZER = "torch.optim.Optimizer"


def rule(name, body="pass", base=OPTIMIZER):
    return RULE.format(name=name, body=body, base=base)


GOOD = "import torch\n" + rule("Good")
FOREIGN = "import torch\nimport numpy as np\n" + rule("Foreign", "np.sqrt(2)")
SEVERAL = (
    "import torch\nimport numpy as np\n\nEPS = 1e-8\n\n\ndef root(x):\n"
    "    return np.sqrt(x)\n" + rule("First", "root(2)") + rule("Second", "x = EPS")
)
BASED = (
    "import torch\n"
    + """

class Family(torch.optim.Optimizer):
    def __init__(self, params, defaults):
        super().__init__(params, defaults)

    def step(self, closure=None):
        raise NotImplementedError
"""
    + rule("Son", base="Family")
    + rule("Daughter", base="Family")
)
SCRIPTS = {
    "loop": (
        "import torch\n" + rule("Mine") + "\nmodel = torch.nn.Linear(2, 1)\n"
        "optimizer = Mine(model.parameters())\nfor _ in range(3):\n"
        "    loss = model(torch.ones(2)).sum()\n    loss.backward()\n"
        "    optimizer.step()\nimport sys\n",
        "a training loop",
    ),
    "arguments": (
        "import argparse\nimport torch\n" + rule("Mine") + "\n\ndef main():\n"
        "    return argparse.ArgumentParser().parse_args()\n\n\n"
        'if __name__ == "__main__":\n    main()\n',
        "arguments of a command line",
    ),
    "called": (
        "import torch\nimport wandb\n" + rule("Mine") + "\n\ndef train():\n"
        "    wandb.init()\n\n\ntrain()\n",
        "a call of train()",
    ),
    "loader": (
        "import torch\nfrom torch.utils.data import DataLoader\n"
        + rule("Mine")
        + "\nloader = DataLoader([1, 2])\n",
        "a data loader",
    ),
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def dux(*arguments):
    return CliRunner().invoke(app, ["check", *arguments])


def told(*arguments):
    result = dux("--json", *arguments)
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


# Classes


def test_every_class_of_a_file_is_judged():
    Path("several.py").write_text(SEVERAL)

    (one,) = told("--static", "several.py")

    assert [("First", False), ("Second", True)] == [
        (each["name"], each["ok"]) for each in one["classes"]
    ]
    assert (False, "refused") == (one["ok"], one["verdict"])
    assert "numpy" in one["findings"][0]["message"]


@pytest.mark.parametrize(
    "line",
    [
        "KINDS = [First, Second, open('harmed', 'w')]",
        "class Both:\n    kinds = First, Second, open('harmed', 'w')",
    ],
)
def test_what_is_part_of_no_class_is_told_as_left_out(line):
    two = "import torch\n" + rule("First") + rule("Second")
    Path("two.py").write_text(f"{two}\n\n{line}\n")
    last = len(two.splitlines()) + 3

    (one,) = told("--static", "two.py")
    result = dux("--static", "two.py")

    assert [("left out", last)] == [
        (note["rule"], note["line"]) for note in one["notes"]
    ]
    assert f"line {last}: left out: a statement that no class uses" in result.stdout


@pytest.mark.parametrize(("name", "code"), [("First", 1), ("Second", 0)])
def test_a_class_may_be_named(name, code):
    Path("several.py").write_text(SEVERAL)

    result = dux("--static", "several.py", "--class", name)
    (one,) = told("--static", "several.py", "--class", name)

    assert code == result.exit_code
    assert [name] == [each["name"] for each in one["classes"]]


def test_several_classes_may_be_named():
    Path("based.py").write_text(BASED + rule("Third"))

    (one,) = told("--static", "based.py", "--class", "Third", "--class", "Son")

    assert ["Third", "Son"] == [each["name"] for each in one["classes"]]


def test_a_base_without_a_step_is_no_optimizer_of_its_own():
    Path("based.py").write_text(BASED)

    (one,) = told("--static", "based.py")

    assert ["Son", "Daughter"] == [each["name"] for each in one["classes"]]
    assert one["ok"]


def test_each_class_is_tried_in_a_dry_run_of_its_own():
    Path("two.py").write_text(
        "import torch\n" + rule("Calm") + rule("Wild", "p.mul_(1e9)")
    )

    (one,) = told("two.py")

    calm, wild = one["classes"]
    assert (True, False) == (calm["ok"], wild["ok"])
    assert calm["dry_run"]["losses"] and wild["dry_run"]["losses"]
    assert calm["digest"] != wild["digest"]


def test_a_class_is_judged_with_what_it_uses_behind_it():
    text = "import torch\n" + rule("First", "Second([p])") + rule("Second")
    Path("using.py").write_text(text)

    (one,) = told("--static", "using.py")

    assert ["First", "Second"] == [each["name"] for each in one["classes"]]
    assert one["ok"], one["findings"]


def test_findings_keep_the_lines_of_the_file():
    text = "import torch\n" + rule("First") + rule("Second", "p.numpy()")
    Path("lines.py").write_text(text)
    line = text[: text.index("p.numpy()")].count("\n") + 1

    (one,) = told("--static", "lines.py")

    assert [line] == [each["line"] for each in one["classes"][1]["findings"]]
    assert f"lines.py:{line}" in dux("--static", "lines.py").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["good.py", "--class", "Nobody"],
            "has no optimizer of that name; it has Good",
        ),
        (["none.py", "--class", "Good"], "it has none"),
        (["good.py", "none.py", "--class", "Good"], "is for one file, and 2 are named"),
        (["good.py", "--with", "nowhere.py"], "nowhere.py cannot be read"),
        (["empty"], "no Python file is in it"),
        (["good.py", "--model", "nothing"], "names no function"),
        (["good.py", "--model", "nowhere:build"], "cannot be imported"),
        (["good.py", "--model", "good.py:build"], "has no function build"),
        (["good.py", "--model", "build.py:fails"], "it raised ValueError: no model"),
        (["good.py", "--model", "build.py:leaves"], "it raised SystemExit"),
        (["good.py", "--model", "build.py:number"], "holds no torch.nn.Module"),
        (["good.py", "--model", "build.py:half"], "batches are missing"),
        (["good.py", "--model", "build.py:wrong"], "the objective raised"),
        (["good.py", "--static", "--model", "build.py:model"], "--static leaves that"),
        (["good.py", "--model", "build.py:vector"], "scalar"),
        (["good.py", "--model", "build.py:stranger"], "cannot be tried"),
        (["good.py", "--model", "build.py:frozen"], "no parameter that is trained"),
        (["good.py", "--model", "build.py:empty"], "no batch at all"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(arguments, message):
    Path("good.py").write_text(GOOD)
    Path("none.py").write_text("x = 1\n")
    Path("empty").mkdir()
    Path("build.py").write_text(BUILDS)

    result = dux(*arguments)

    assert 2 == result.exit_code, result.output
    assert message in result.stderr.replace("\n", " ")
    assert 1 == len(result.stderr.splitlines())
    assert "" == result.stdout


@pytest.mark.parametrize("count", [10, 40])
def test_a_file_larger_than_a_rule_may_be_is_judged_class_by_class(count):
    doc = '    """' + "A long story.\n" * 200 + '"""\n'
    text = "import torch\n"
    for number in range(count):
        before, _, after = rule(f"Rule{number}").partition(":\n")
        text += f"{before}:\n{doc if number % 2 else ''}{after}"
    Path("many.py").write_text(text)

    (one,) = told("--static", "many.py")

    assert count == len(one["classes"])
    assert one["ok"], one["findings"][:1]


# Folders


def test_a_folder_gives_a_row_for_each_file():
    Path("zoo/inner").mkdir(parents=True)
    Path("zoo/good.py").write_text(GOOD)
    Path("zoo/inner/foreign.py").write_text(FOREIGN)
    Path("zoo/notes.py").write_text("x = 1\n")

    result = dux("--static", "zoo")

    assert 1 == result.exit_code
    for word in (
        "good.py",
        "Good",
        "accepted",
        "Foreign",
        "refused",
        "import of numpy",
    ):
        assert word in result.stdout
    assert "3 files, 2 optimizers: 1 accepted, 1 refused, 1 skipped" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_folder_of_good_optimizers_ends_well():
    Path("zoo").mkdir()
    Path("zoo/good.py").write_text(GOOD)
    Path("zoo/__init__.py").touch()

    assert 0 == dux("--static", "zoo").exit_code
    assert [None, True] == [one["ok"] for one in told("--static", "zoo")]


def test_files_of_a_folder_are_judged_together():
    Path("zoo").mkdir()
    Path("zoo/scale.py").write_text("def scale(x):\n    return x * 2\n")
    Path("zoo/mine.py").write_text(
        "import torch\nfrom .scale import scale\n" + rule("Mine", "scale(p)")
    )

    mine, scale = told("--static", "zoo")

    assert (True, [str(Path("zoo/scale.py"))]) == (mine["ok"], mine["with"])
    assert "skipped" == scale["verdict"]


@pytest.mark.parametrize(
    "passed_over", [".hidden", "__pycache__", "venv", "env/lib/site-packages"]
)
def test_what_is_nobodys_source_is_passed_over(passed_over):
    Path("zoo", passed_over).mkdir(parents=True)
    Path("zoo", passed_over, "bad.py").write_text("import os\n")
    Path("zoo/good.py").write_text(GOOD)

    assert ["zoo/good.py"] == [one["file"] for one in told("--static", "zoo")]


def test_a_file_of_a_folder_that_is_no_text_is_told_in_its_row():
    Path("zoo").mkdir()
    Path("zoo/good.py").write_text(GOOD)
    Path("zoo/picture.py").write_bytes(b"\xff\xfe\x00")

    good, picture = told("--static", "zoo")

    assert (True, False) == (good["ok"], picture["ok"])
    assert "no UTF-8 text" in picture["findings"][0]["message"]


@pytest.mark.parametrize(
    ("count", "size", "said"),
    [(2001, 0, "more than 2000 Python files"), (17, 1 << 22, "more than 64 MiB")],
)
def test_a_folder_that_holds_too_much_is_refused_in_one_line(count, size, said):
    Path("zoo").mkdir()
    for each in range(count):
        with Path(f"zoo/a{each}.py").open("wb") as file:
            file.truncate(size)  # takes no room on the disk

    result = dux("--static", "zoo")

    assert 2 == result.exit_code
    assert said in result.stderr and 1 == len(result.stderr.splitlines())


@pytest.mark.parametrize("beneath", [".", "inner"])
@pytest.mark.parametrize("to", ["../secret.py", "/proc/kmsg", "/etc/hostname"])
def test_a_link_that_leads_out_of_a_folder_is_told_and_not_read(to, beneath):
    Path("zoo/inner").mkdir(parents=True)
    Path("secret.py").write_text("KEY = hunter2(\n")
    Path("zoo/good.py").write_text(GOOD)
    Path("zoo/same.py").symlink_to("good.py")
    target = Path("secret.py").absolute() if to == "../secret.py" else to
    Path("zoo", beneath, "link.py").symlink_to(target)

    rows = {one["file"]: one for one in told("--static", "zoo")}

    link = rows.pop(str(Path("zoo", beneath, "link.py")))
    assert not link["ok"] and "hunter2" not in json.dumps(link)
    assert "leads out of zoo" in link["findings"][0]["message"]
    assert all(one["ok"] for one in rows.values()) and 2 == len(rows)


@pytest.mark.parametrize(
    ("imported", "beside"),
    [
        ("from strange.tools import twice", "tools.py"),
        ("import strange.tools as t", "deep/tools.py"),
        ("from tools import twice", "deep/tools.py"),
        ("from . import tools", "deep/tools.py"),
    ],
)
def test_a_file_of_a_folder_is_only_found_where_python_would_find_it(imported, beside):
    Path("zoo/deep").mkdir(parents=True)
    Path("zoo", beside).write_text("x = 1\n")
    Path("zoo/mine.py").write_text(f"import torch\n{imported}\n" + rule("Mine"))

    (mine,) = [one for one in told("--static", "zoo") if one["file"] == "zoo/mine.py"]

    assert [] == mine["with"]
    assert "is not used" in mine["findings"][0]["message"]


def test_a_module_is_found_from_the_root_of_its_package():
    Path("zoo/pack/deep").mkdir(parents=True)
    Path("zoo/pack/tools.py").write_text("def twice(x):\n    return x * 2\n")
    Path("zoo/pack/deep/mine.py").write_text(
        "import torch\nfrom pack.tools import twice\n" + rule("Mine", "twice(p)")
    )

    (mine,) = [one for one in told("--static", "zoo") if one["classes"]]

    assert ["zoo/pack/tools.py"] == mine["with"]
    assert mine["ok"]


def test_a_file_too_large_to_be_read_is_passed_over_unless_it_has_an_optimizer():
    Path("zoo").mkdir()
    Path("zoo/schedules.py").write_text("# of Optimizer\n" + "x = 1\n" * 9_000)
    Path("zoo/many.py").write_text(GOOD + "x = 1\n" * 9_000)

    many, schedules = told("--static", "zoo")

    assert ("refused", "skipped") == (many["verdict"], schedules["verdict"])
    assert "lines" in many["findings"][0]["message"]


def test_a_copy_of_torchs_own_optimizer_beside_is_torchs_own():
    Path("zoo").mkdir()
    Path("zoo/optimizer.py").write_text("import os\nclass Optimizer:\n    pass\n")
    Path("zoo/mine.py").write_text(
        "import torch\nfrom .optimizer import Optimizer\n"
        + rule("Mine", base="Optimizer")
    )

    mine = told("--static", "zoo")[0]

    assert (True, []) == (mine["ok"], mine["with"])


# Files beside


def test_a_file_beside_is_judged_with_it_as_one_source():
    Path("helper.py").write_text("import os\n\n\ndef twice(x):\n    return x * 2\n")
    Path("mine.py").write_text(
        "import torch\nfrom helper import twice\n" + rule("Mine", "twice(p)")
    )

    alone, together = (
        told("mine.py"),
        told("mine.py", "--with", "helper.py"),
    )

    assert "dux check mine.py --with helper.py" in alone[0]["findings"][0]["instead"]
    assert (True, ["helper.py"]) == (together[0]["ok"], together[0]["with"])
    assert together[0]["dry_run"]["losses"]
    printed = dux("mine.py", "--with", "helper.py").stdout
    assert "mine.py with helper.py: accepted" in printed


def test_a_finding_in_a_file_beside_names_that_file_and_its_line():
    Path("helper.py").write_text("\n\ndef twice(x):\n    return x.numpy()\n")
    Path("mine.py").write_text(
        "import torch\nfrom helper import twice\n" + rule("Mine", "twice(p)")
    )

    (one,) = told("--static", "mine.py", "--with", "helper.py")

    assert ("helper.py", 4) == tuple(
        one["findings"][0][key] for key in ("file", "line")
    )


def test_a_base_in_a_file_beside_is_asked_for():
    Path("base.py").write_text("import torch\nBase = torch.optim.Optimizer\n")
    Path("mine.py").write_text(
        "import torch\nfrom .base import Base\n" + rule("Mine", base="Base")
    )

    (one,) = told("--static", "mine.py")

    assert "Mine is built on Base, which comes from .base" in [
        each["message"] for each in one["findings"]
    ]
    assert "--with base.py" in one["findings"][0]["instead"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            "from mine import Mine\n\nKINDS = [Mine]\n\n\ndef twice(x):\n"
            "    return x if KINDS else None\n",
            "import each other",
        ),
        ("def thrice(x):\n    return x * 3\n", "has no name twice; it has thrice"),
    ],
)
def test_a_ring_and_a_missing_name_are_findings(other, message):
    Path("helper.py").write_text(other)
    Path("mine.py").write_text(
        "import torch\nfrom helper import twice\n" + rule("Mine", "twice(p)")
    )

    (one,) = told("--static", "mine.py", "--with", "helper.py")

    assert not one["ok"]
    assert message in one["findings"][0]["message"]


# Scripts


@pytest.mark.parametrize("kind", sorted(SCRIPTS))
def test_a_whole_script_is_told_from_an_optimizer_file(kind):
    text, sign = SCRIPTS[kind]
    Path("train.py").write_text(text)

    (one,) = told("--static", "train.py")

    assert ("script", "script") == (one["kind"], one["verdict"])
    assert sign in one["findings"][0]["message"]
    assert "Mine" in one["findings"][0]["instead"]
    assert [True] == [each["ok"] for each in one["classes"]]
    assert "refused: a whole script" in dux("--static", "train.py").stdout


@pytest.mark.parametrize(
    "after",
    [
        'if __name__ == "__main__":\n    print(Good)\n',
        "def demo():\n    for _ in range(3):\n        x.backward()\n        y.step()\n",
        "model = torch.nn.Linear(1, 1)\noptimizer = Good(model.parameters())\n",
    ],
)
def test_an_optimizer_file_with_an_example_is_no_script(after):
    Path("good.py").write_text(GOOD + "\n\n" + after)

    (one,) = told("--static", "good.py")

    assert ("optimizer", True) == (one["kind"], one["ok"]), one["findings"]


def test_a_refused_optimizer_with_an_uncalled_example_is_no_script():
    example = (
        "def demo():\n    for _ in range(3):\n        x.backward()\n        y.step()\n"
    )
    Path("foreign.py").write_text(f"{FOREIGN}\n\n{example}")

    (one,) = told("--static", "foreign.py")

    assert "optimizer" == one["kind"]


def test_a_script_without_an_optimizer_is_passed_over_in_a_folder_and_told_alone():
    Path("zoo").mkdir()
    Path("zoo/run.py").write_text("import argparse\nargparse.ArgumentParser()\n")

    alone, listed = told("--static", "zoo/run.py"), told("--static", "zoo")

    assert ("script", False) == (alone[0]["verdict"], alone[0]["ok"])
    assert ("skipped", None) == (listed[0]["verdict"], listed[0]["ok"])


# The user's own model

BUILDS = """
import torch
from torch import nn


def model():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def picture():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))


def words():
    return nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 10))


def objective(model, batch):
    return nn.functional.mse_loss(model(batch[0]), batch[1])


def batches():
    return [(torch.ones(4, 3), torch.zeros(4, 2)) for _ in range(3)]


def three():
    print("building")
    return model(), objective, batches()


def four():
    made = model()
    optimizer = torch.optim.AdamW(made.parameters())
    return made, optimizer, objective, iter(batches())


def named():
    return {"model": model(), "objective": objective, "batches": batches()}


def number():
    return 3


def half():
    return model(), objective


def wrong():
    return nn.Linear(7, 1), objective, batches()


def vector():
    return model(), lambda model, batch: model(batch[0]), batches()


def stranger():
    other = model()
    return model(), lambda model, batch: other(batch[0]).sum(), batches()


def frozen():
    return model().requires_grad_(False), objective, batches()


def empty():
    return model(), objective, []


def pairs():
    return model(), batches()


def classes():
    return model(), [(torch.ones(4, 3), torch.tensor([0, 1, 1, 0]))]


def loss():
    return model(), nn.MSELoss(), batches()


def late():
    return model(), objective, batches


def one():
    return model(), objective, batches()[0]


def loader():
    data = torch.utils.data.TensorDataset(torch.ones(12, 3), torch.zeros(12, 2))
    return model(), objective, torch.utils.data.DataLoader(data, 4)


class Held:
    pass


def held():
    made = Held()
    made.model, made.objective, made.batches = model(), objective, batches()
    return made


def fails():
    raise ValueError("no model today")


def leaves():
    raise SystemExit(3)
"""


@pytest.mark.parametrize(
    "build",
    [
        "model",
        "words",
        "three",
        "four",
        "named",
        "pairs",
        "classes",
        "loss",
        "late",
        "one",
        "loader",
        "held",
    ],
)
def test_a_rule_is_tried_on_the_users_own_model(build):
    Path("build.py").write_text(BUILDS)
    Path("good.py").write_text(GOOD)

    result = dux("--json", "good.py", "--model", f"build.py:{build}")

    (one,) = json.loads(result.stdout)
    assert one["ok"], result.output
    assert 11 == len(one["dry_run"]["losses"])


def test_a_module_of_the_working_directory_is_found(here):
    Path("own_builder.py").write_text(BUILDS)
    Path("good.py").write_text(GOOD)
    shapes = rule("Shapes", "assert p.shape[-1] in (2, 4, 16)")
    Path("shapes.py").write_text("import torch\n" + shapes)

    own = told("good.py", "shapes.py", "--model", "own_builder:three")

    assert [True, False] == [one["ok"] for one in own]
    assert "raised" == own[1]["findings"][0]["rule"]


# What is printed as JSON


def test_the_json_of_a_file_has_the_keys_that_its_page_says():
    page = (Path(__file__).parents[2] / "docs" / "check.md").read_text()
    Path("several.py").write_text(SEVERAL)

    (one,) = told("several.py")

    for held in (one, one["classes"][0], one["findings"][0], *one["classes"][1:]):
        for key in held:
            assert f"`{key}`" in page, key


@pytest.fixture
def package():
    """A package whose files lie in folders, and import each other in a circle."""
    for folder in ("zoo", "zoo/optim", "zoo/common"):
        Path(folder).mkdir()
    Path("zoo/__init__.py").write_text("from zoo.optim import Mine\n")
    Path("zoo/optim/__init__.py").write_text("from .mine import Mine\n")
    Path("zoo/common/__init__.py").write_text(
        "import numpy as np\nfrom .sums import twice\nfrom .plots import drawn\n"
    )
    Path("zoo/common/sums.py").write_text(
        "import zoo\nfrom zoo.common.plots import half\n\n\n"
        "def twice(x):\n    return half(x) * 4\n"
    )
    Path("zoo/common/plots.py").write_text(
        "import matplotlib.pyplot as plt\n\n\ndef half(x):\n    return x / 2\n\n\n"
        "def drawn(x):\n    return plt.plot(x)\n"
    )
    Path("zoo/optim/mine.py").write_text(
        "import torch\nfrom ..common import twice\n" + rule("Mine", "twice(p)")
    )
    Path("zoo/optim/other.py").write_text(
        "import torch\nimport zoo.common as c\n" + rule("Other", "c.twice(p)")
    )


@pytest.mark.parametrize("folder", ["zoo", ".", "zoo/common"])
@pytest.mark.usefixtures("package")
def test_a_folder_goes_with_a_file_as_far_as_that_uses_it(folder):
    (one,) = told("zoo/optim/mine.py", "--with", folder)

    assert one["ok"], one["findings"]
    assert {"zoo/common/sums.py", "zoo/common/plots.py"} == set(one["with"])


@pytest.mark.usefixtures("package")
def test_a_folder_that_is_checked_finds_what_its_files_import():
    rows = told("--static", "zoo")

    verdicts = {row["file"]: row["verdict"] for row in rows}
    assert "accepted" == verdicts["zoo/optim/mine.py"]
    assert "accepted" == verdicts["zoo/optim/other.py"]
    assert {"skipped"} == {
        verdict for file, verdict in verdicts.items() if "optim/" not in file
    }


@pytest.mark.parametrize("file", ["zoo/optim/mine.py", "zoo/optim/other.py"])
@pytest.mark.usefixtures("package")
def test_a_finding_names_every_file_that_has_to_be_added(file):
    (alone,) = told("--static", file)
    options = alone["findings"][0]["instead"].partition(f"dux check {file} ")[2].split()

    (one,) = told("--static", file, *options)

    assert {"--with"} == set(options[::2])
    assert one["ok"], one["findings"]


@pytest.mark.parametrize(
    "rest",
    [
        "from zoo.common import drawn\n\n\ndef show(x):\n    return drawn(x)\n",
        "from zoo.missing import Base\n\n\nclass Callback(Base):\n    pass\n",
        "from zoo.common import nothing\nlog = nothing()\n",
        "import numpy as np\n\n\ndef summed(x):\n    return np.sum(x)\n",
    ],
)
@pytest.mark.usefixtures("package")
def test_what_only_the_rest_of_a_file_needs_is_left_out_with_a_note(rest):
    text = Path("zoo/optim/mine.py").read_text()
    Path("zoo/optim/mine.py").write_text(rest + "\n\n" + text)

    (one,) = told("zoo/optim/mine.py", "--with", "zoo")

    assert one["ok"], one["findings"]
    assert "left out" in {note["rule"] for note in one["notes"]}


@pytest.mark.usefixtures("package")
def test_what_a_file_does_when_it_is_imported_is_not_left_out_of_a_class():
    text = Path("zoo/optim/mine.py").read_text()
    Path("zoo/optim/mine.py").write_text(
        f"import os\nfrom zoo.common import drawn\nos.system(drawn)\n{text}"
    )

    (one,) = told("--static", "zoo/optim/mine.py", "--with", "zoo")

    assert not one["ok"]


def test_a_class_without_a_step_beside_others_gets_no_verdict():
    Path("two.py").write_text(
        "import torch\n"
        + rule("Good")
        + "\n\nclass Phases(torch.optim.Optimizer):\n"
        + "    def first_step(self):\n        pass\n"
    )

    (one,) = told("--static", "two.py")

    assert one["ok"], one["findings"]
    assert ["Good"] == [each["name"] for each in one["classes"]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("p.mul_(0.99)", "can be recorded"),
        (
            "p.mul_(len(torch.unique(p)) * 0.01)",
            "runs isolated: line 12: it cannot be recorded",
        ),
    ],
)
def test_whether_a_rule_can_be_recorded_is_told_with_the_line(body, said):
    Path("one.py").write_text("import torch\n" + rule("Mine", body))

    (one,) = told("one.py")
    result = dux("one.py")

    (found,) = one["classes"]
    recorded = said == "can be recorded"
    assert recorded is found["recorded"]
    assert recorded is (found["unrecorded"] is None)
    assert said in " ".join(result.stdout.split())
