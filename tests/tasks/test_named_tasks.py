"""Tasks by name: a module's, a file's, an installed package's, and what is none."""

import importlib
import sys

import pytest
import torch
from typer.testing import CliRunner

from dux_agent import tasks
from dux_agent.cli import app
from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import read
from dux_agent.runs.training import train
from tests.foreign_tasks import Line, broken

EXECUTIONS = ("inline", "isolated")


def dux(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working directory of its own, and modules that are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DUX_CACHE", str(tmp_path.parent / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    forget_modules()
    yield tmp_path
    forget_modules()


def forget_modules():
    for name in list(sys.modules):
        if name.startswith(("mine", "dux_task_")):
            del sys.modules[name]


def installed(folder, name, value, distribution="mine-tasks"):
    """A distribution that declares one task, as pip would leave it."""
    info = folder / "site" / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[dux_agent.tasks]\n{name} = {value}\n")
    if str(folder / "site") not in sys.path:
        sys.path.insert(0, str(folder / "site"))
    importlib.invalidate_caches()


MODULE = """
from tests.foreign_tasks import Line

def build(seed):
    return Line(seed)

def other():
    return Line(0)

def nothing(seed):
    pass

def raising(seed):
    raise KeyError("no data")

def later(seed):
    yield Line(seed)

class Here:
    build = staticmethod(build)

number = 7
"""


@pytest.fixture
def mine(place):
    (place / "mine.py").write_text(MODULE)
    (place / "minepackage").mkdir()
    (place / "minepackage" / "__init__.py").touch()
    (place / "minepackage" / "inner.py").write_text(MODULE)
    (place / "minepackage" / "lacking.py").write_text("import numpi")
    (place / "minepackage" / "damaged.py").write_text("x = 1\ndef f(:\n")
    (place / "minepackage" / "leaving.py").write_text("raise SystemExit(3)")
    return place


@pytest.mark.parametrize(
    "name",
    [
        "mine:build",
        "minepackage.inner:build",
        "mine:Here.build",
        "mine.py:build",
        "./minepackage/inner.py:build",
        "tests.foreign_tasks:build",
        "tests.foreign_tasks:of_seed_alone",
        "tests.foreign_tasks:Line",
    ],
)
def test_a_function_of_a_module_or_a_file_builds_a_task(mine, name):
    task = tasks.build(name, seed=3)

    assert "Line" == type(task).__name__
    assert 3 == task.seed


def test_a_file_is_found_from_elsewhere_by_its_whole_path(mine, monkeypatch):
    monkeypatch.chdir("/")

    assert 3 == tasks.build(f"{mine}/mine.py:build", seed=3).seed


def test_a_file_that_was_changed_is_read_again(mine):
    tasks.build("mine.py:build", seed=0)

    changed = MODULE.replace("return Line(seed)", "return Line(seed + 40)")
    (mine / "mine.py").write_text(changed + "# longer, later\n")

    assert 42 == tasks.build("mine.py:build", seed=2).seed


@pytest.mark.parametrize("extra", ["", " [models]"])
def test_an_installed_package_brings_a_task_by_name(mine, extra):
    installed(mine, "straight", f"tests.foreign_tasks:build{extra}")

    assert 1 == tasks.build("straight", seed=1).seed
    with pytest.raises(BadArgument, match=r"imdb, straight \(of mine-tasks\)"):
        tasks.build("bent", seed=1)


def test_our_tasks_keep_their_names(mine):
    installed(mine, "sine", "mine:raising")

    assert "sine" == tasks.build("sine", seed=0).name


def test_a_run_of_an_installed_task_is_replayed_on_its_folders_word(mine, monkeypatch):
    installed(mine, "straight", "tests.foreign_tasks:build")
    train("straight", run_dir="run")
    monkeypatch.setenv("DUX_CACHE", str(mine / "another"))

    assert 0 == dux("replay", "run").exit_code


def test_one_name_of_two_packages_is_refused_with_both(mine):
    installed(mine, "straight", "mine:build")
    installed(mine, "straight", "tests.foreign_tasks:build", "others")

    with pytest.raises(
        BadArgument, match="2 installed .*mine:build, tests.foreign_tasks:build"
    ):
        tasks.build("straight", seed=0)


REFUSED = {
    "nowhere:build": "there is no module 'nowhere'; .* install it",
    "minepackage.nowhere:build": "there is no module 'minepackage.nowhere'",
    "nowhere.inner:build": "there is no module 'nowhere'",
    "minepackage.lacking:build": "ModuleNotFoundError: No module named 'numpi'.*"
    "lacking.py:1",
    "minepackage.damaged:build": "cannot be imported: SyntaxError.*damaged.py:2",
    "minepackage.leaving:build": "cannot be imported: SystemExit: 3",
    "nowhere.py:build": "nowhere.py cannot be read: No such file",
    "minepackage/damaged.py:build": "cannot be imported: SyntaxError",
    "minepackage/leaving.py:build": "cannot be imported: SystemExit",
    "mine:biuld": "mine has no 'biuld'; .* did you mean build",
    "mine:Here.make": "mine has no 'Here.make'",
    "mine:number": "mine:number is a int; a function that builds a task",
    "mine:other": r"mine:other takes no seed; a function build\(seed\)",
    "os:getcwd": "os:getcwd takes no seed",
    "mine:nothing": "mine:nothing built a NoneType, which has no base_optimizer",
    "mine:later": "mine:later built a generator",
    "mine:raising": r"mine:raising built no task: KeyError: 'no data' .*mine.py:14",
    "mine:": "'mine:' names no function; package.module:build or file.py:build",
    ":build": "':build' names no function",
    "mine file:build": "names no function",
    "..mine:build": "names no function",
    "mine": "there is no task 'mine'; .* package.module:build or file.py:build",
    "mine.py": "there is no task 'mine.py'",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_names_no_task_is_refused_in_one_line_and_nothing_is_written(mine, name):
    before = sorted(each.name for each in mine.iterdir())

    result = dux("run", name)

    assert 2 == result.exit_code, result.output
    assert 1 == len(result.stderr.splitlines())
    with pytest.raises(BadArgument, match=REFUSED[name]):
        tasks.build(name, seed=0)
    after = sorted(each.name for each in mine.iterdir() if each.name != "__pycache__")
    assert before == after


BROKEN = {
    "no model": ("model", 3, "whose model is a int; a torch.nn.Module"),
    "no number of epochs": ("epochs", "five", "whose epochs is 'five'; a whole"),
    "no steps": ("steps_per_epoch", 0, "whose steps_per_epoch is 0; a whole number"),
    "true steps": ("steps_per_epoch", True, "whose steps_per_epoch is True"),
    "no name of the loss": ("loss_name", None, "whose loss_name is None; a text"),
    "no batches": ("train_batches", None, r"has no train_batches; train_batches\("),
    "a list of batches": ("train_batches", [], "has a list as train_batches"),
    "no split": ("evaluate", lambda self: 1.0, r"evaluate\(\) takes other arguments"),
    "no optimizer": ("base_optimizer", lambda self: 1, "optimizer is a int"),
    "no loss": ("objective", lambda self, model, batch: 1.0, "objective returned"),
    "no figure": ("evaluate", lambda self, split, model=None: [], "returned a list"),
    "no figure of the test split": (
        "evaluate",
        lambda self, split, model=None: 1.0 if split == "val" else "low",
        r"evaluate\('test'\) of the task gave a str; the mean loss",
    ),
    "few batches": (
        "train_batches",
        lambda self, epoch: list(Line.train_batches(self, epoch))[:5],
        r"train_batches\(0\) of the task gave 5 batches; 8 were wanted",
    ),
    "endless batches": (
        "train_batches",
        lambda self, epoch: iter(lambda: dict(x=torch.ones(4, 2), y=torch.ones(4)), 0),
        "gave more batches; 8 were wanted",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_task_that_breaks_the_protocol_is_refused_in_words(case, monkeypatch):
    name, value, said = BROKEN[case]
    builder = broken(name, value)
    if name == "model":
        builder = lambda seed: _with(Line(seed), model=value)  # noqa: E731
    monkeypatch.setattr("tests.foreign_tasks.of_seed_alone", builder)

    with pytest.raises(BadArgument, match=said) as raised:
        train("tests.foreign_tasks:of_seed_alone", execution="inline")

    assert ";" in str(raised.value)


def _with(task, **changed):
    vars(task).update(changed)
    return task


def test_an_error_that_training_meets_in_a_task_is_the_tasks_own(monkeypatch):
    def objective(self, model, batch):
        raise ZeroDivisionError("mine")

    monkeypatch.setattr(
        "tests.foreign_tasks.of_seed_alone", broken("objective", objective)
    )

    with pytest.raises(ZeroDivisionError, match="mine"):
        train("tests.foreign_tasks:of_seed_alone", execution="inline")


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_strangers_task_runs_with_its_control(mine, execution):
    result = dux(
        "run", "mine:build", "--control", "--run-dir", "run", "--execution", execution
    )

    assert 0 == result.exit_code, result.output
    assert "final test loss" in result.stdout
    scopes = [event.data.get("scope") for event in read("run") if event.kind == "loss"]
    assert (2, 2) == (scopes.count("control"), scopes.count("epoch"))
