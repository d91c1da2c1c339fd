"""The table of options: command line, `train`, run.json, resume, replay, docs."""

import inspect
import json
import shutil
import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from dux_agent import attach
from dux_agent.cli import app
from dux_agent.errors import BadArgument
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.runs.options import lines, option
from dux_agent.runs.plan import OPTIONS, Plan
from dux_agent.runs.replaying import replay
from dux_agent.runs.training import resume, train
from tests import fault_server, options_table
from tests.swapping import SGD

TASK = "tests.foreign_tasks:build"
EXECUTIONS = ("inline", "isolated")

# Another value than the default of each, as the command line takes it.
OTHER = {
    "model": "offline",
    "fallback": "offline",
    "lm_weights": "2",
    "lm_timeout": 30.0,
    "decision_timeout": 90.0,
    "task_description": "a plane",
    "epochs": 3,
    "seed": 3,
    "control": True,
    "execution": "inline",
    "every": 5,
    "device": "cpu",
    "dtype": "float64",
    "candidates": 2,
    "max_attempts": 1,
    "dry_run_steps": 4,
    "decision_steps": 40,
    "accept": "finite",
    "training_losses_only": True,
    "fuzz": True,
    "carry_over": "always",
    "history": "compressed",
    "history_characters": 100,
    "context_window": 8000,
    "reasoning": "none",
    "vocabulary": "full",
    "zoo": True,
    "guard_steps": 3,
    "snapshots": "host",
    "keep_best": True,
    "background": True,
    "budget": "calls=1,tokens=90000,money=0.5",
    "threads": 2,
}


class Died(Exception):
    """Stands for the end of the process."""


def dux(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def dying(after):
    left = after

    def listen(progress):
        nonlocal left
        left -= progress.kind == "step" and progress.course == "agent"
        if not left:
            raise Died

    return listen


def losses(result):
    return [(each.train, each.val, each.test) for each in result.epochs]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DUX_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_every_option_is_tried_here():
    # Written rules take no options: test_weather has a server that does.
    # Prices are tried below, a person is in tests/graphs/test_approval, a library in
    # tests/experience.
    beside = {"lm_options", "prices", "approve", "experience"}
    assert OPTIONS.keys() - beside == OTHER.keys()


@pytest.mark.parametrize("name", OTHER)
def test_an_option_of_the_command_line_stands_in_run_json(name, tmp_path):
    value, line = OTHER[name], OPTIONS[name]
    given = [line.flag] if value is True else [line.flag, value]

    result = dux("run", TASK, *given, "--run-dir", tmp_path / "run")

    assert 0 == result.exit_code, result.output
    facts = read_facts(tmp_path / "run")
    assert line.checked(value) == {**facts, **facts["arguments"]}[name]


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", sorted(OTHER.keys() - {"execution", "background"}))
def test_a_run_with_any_option_resumes_and_replays_to_the_same_losses(
    name, execution, tmp_path
):
    options = {"execution": execution, name: OTHER[name]}
    whole = train(TASK, run_dir=tmp_path / "whole", **options)
    with pytest.raises(Died):
        train(TASK, run_dir=tmp_path / "died", on_event=dying(12), **options)

    again = replay(tmp_path / "whole", execution=execution)
    resumed = resume(tmp_path / "died", execution=execution)

    assert () == again.differences
    assert losses(whole) == losses(resumed)
    assert (
        read_facts(tmp_path / "died")["arguments"]
        == (read_facts(tmp_path / "whole")["arguments"])
    )


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("died", [3, 8, 12])
def test_a_run_over_a_loader_resumes_and_replays_to_the_same_losses(
    execution, died, tmp_path
):
    options = {"execution": execution, "every": 5}
    name = "tests.foreign_tasks:Loaded"
    whole = train(name, run_dir=tmp_path / "whole", **options)
    with pytest.raises(Died):
        train(name, run_dir=tmp_path / "died", on_event=dying(died), **options)

    again = replay(tmp_path / "whole", execution=execution)
    resumed = resume(tmp_path / "died", execution=execution)

    assert () == again.differences
    assert losses(whole) == losses(resumed)


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_a_run_that_decides_in_the_background_ends_and_resumes(execution, tmp_path):
    options = {"execution": execution, "background": True, "every": 4, "epochs": 3}
    with pytest.raises(Died):
        train(TASK, run_dir=tmp_path / "run", on_event=dying(12), **options)

    result = resume(tmp_path / "run", execution=execution)

    assert 3 == len(result.epochs)


def test_attach_takes_what_a_plan_gives_it_and_has_the_same_defaults():
    taken = inspect.signature(attach).parameters

    for name, value in Plan(task=TASK).of_attach().items():
        assert taken[name].default == value


def test_no_call_is_made_beyond_the_budget(tmp_path):
    result = train(TASK, epochs=4, budget=1, execution="inline")

    calls = [change.decision.usage.get("calls", 0) for change in result.changes]
    assert [1, 0, 0] == calls
    assert "budget is used up: 1 of 1 calls" in result.changes[1].decision.reason


@pytest.mark.parametrize(
    ("written", "limits"),
    [
        (None, None),
        (20, {"calls": 20}),
        ("20", {"calls": 20}),
        ("calls=20", {"calls": 20}),
        ("calls=20, seconds=1.5", {"calls": 20, "seconds": 1.5}),
        ("tokens=9e4", {"tokens": 90000}),
        ("seconds=inf", None),
        ({"tokens": 5}, {"tokens": 5}),
    ],
)
def test_a_budget_is_a_number_of_calls_or_limits_by_name(written, limits):
    assert limits == Plan(task=TASK, budget=written).budget


@pytest.mark.parametrize(
    "written",
    ["", "many", "calls", "calls=", "=3", "calls=x", "euros=3", 0, "-1", [1], 2**41],
)
def test_what_is_no_budget_is_refused_in_words(written):
    with pytest.raises(BadArgument, match="budget .*(was|were) wanted"):
        Plan(task=TASK, budget=written)


def wrong_values():
    for name, line in OPTIONS.items():
        option = line.option
        if option.least is not None:
            yield name, option.least - 1, f"it must be >= {option.least}"
        if option.most is not None:
            yield name, option.most + 1, f"it must be <= {option.most}"
        if option.choices:
            yield name, "bogus", "one of '"
        if option.read is None:
            yield name, b"x", "a value of the type"


@pytest.mark.parametrize(("name", "value", "said"), list(wrong_values()), ids=str)
def test_a_value_that_no_line_takes_is_refused_in_words(name, value, said):
    with pytest.raises(BadArgument, match=f"{name} is .*{said}.*leave it out"):
        train(TASK, **{name: value})


def test_an_option_that_is_none_is_refused_with_the_list_of_them():
    with pytest.raises(BadArgument, match="no option 'epoch'; any of .*epochs"):
        train(TASK, epoch=3)


def test_a_plan_is_trained_whole_or_with_some_of_it_otherwise():
    plan = Plan(task="sine", epochs=1, seed=2, control=True)

    whole, changed = train(plan), train(plan, seed=3, control=False)

    assert (2, 1) == (whole.seed, len(whole.control))
    assert (3, None) == (changed.seed, changed.control)


def test_a_folder_of_before_says_less_and_is_read(tmp_path):
    train("sine", run_dir=tmp_path / "run", epochs=1)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    before = ("epochs", "control", "task_description", "execution", "every")
    facts["arguments"] = {name: facts["arguments"][name] for name in before}
    (tmp_path / "run" / "run.json").write_text(json.dumps(facts))

    compared = replay(tmp_path / "run")

    assert () == compared.differences
    assert Plan(task="sine", epochs=1) == Plan.of(tmp_path / "run", facts)


@pytest.mark.parametrize("name", sorted(OTHER.keys() - {"execution", "model"}))
def test_what_a_resumed_run_is_told_otherwise_is_refused(name, tmp_path):
    train("sine", run_dir=tmp_path / "run", epochs=1)
    value, line = OTHER[name], OPTIONS[name]
    given = [line.flag] if value is True else [line.flag, value]

    result = dux("run", "--resume", tmp_path / "run", *given)

    assert 2 == result.exit_code
    assert f"{line.flag} is {value}, and the run in" in result.stderr


def test_what_a_resumed_run_is_told_once_more_is_taken(tmp_path):
    with pytest.raises(Died):
        train(
            TASK, run_dir=tmp_path / "run", on_event=dying(12), budget=9, candidates=2
        )

    result = dux(
        "run", TASK, "--budget", "calls=9", "--candidates", 2, "--resume",
        tmp_path / "run",
    )  # fmt: skip

    assert 0 == result.exit_code, result.output


def test_the_page_has_every_option():
    page = options_table.PAGE.read_text()

    assert options_table.with_table(page) == page, "python -m tests.options_table"


def test_help_has_every_option():
    text = dux("run", "--help").output

    assert [] == [line.flag for line in OPTIONS.values() if line.flag not in text]


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A folder of a run over a module of somebody's, and that module's folder."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "somebodys.py").write_text("from tests.foreign_tasks import build\n")
    monkeypatch.chdir(home)
    monkeypatch.setattr("sys.path", [*sys.path])
    yield home
    sys.modules.pop("somebodys", None)


@pytest.mark.parametrize("name", ["somebodys:build", "somebodys.py:build"])
def test_a_run_of_somebodys_task_resumes_and_replays(foreign, name):
    with pytest.raises(Died):
        train(name, run_dir="run", on_event=dying(12))

    resumed = dux("run", "--resume", "run")
    again = dux("replay", "run")

    assert (0, 0) == (resumed.exit_code, again.exit_code), resumed.output + again.output


@pytest.mark.parametrize("name", ["somebodys:build", "somebodys.py:build"])
@pytest.mark.parametrize("command", [("run", "--resume"), ("replay",)])
def test_a_run_whose_module_is_gone_says_so_in_words(foreign, name, command):
    train(name, run_dir="run")
    (foreign / "somebodys.py").unlink()
    sys.modules.pop("somebodys", None)
    shutil.rmtree("__pycache__", ignore_errors=True)

    result = dux(*command, "run")

    assert 2 == result.exit_code, result.output
    assert 1 == len(result.stderr.strip().splitlines())
    gone = ("there is no module 'somebodys'", "somebodys.py cannot be read: No such")
    assert any(words in result.stderr for words in gone)


@pytest.mark.parametrize("name", ["somebodys:build", "somebodys.py:build"])
@pytest.mark.parametrize("command", [("run", "--resume"), ("replay",)])
def test_a_folder_alone_has_nothing_imported(foreign, name, command, monkeypatch):
    train(name, run_dir="run")
    (foreign / "somebodys.py").write_text("raise SystemExit('imported')\n")
    sys.modules.pop("somebodys", None)
    monkeypatch.setenv("DUX_CACHE", str(foreign / "another"))

    result = dux(*command, "run")

    assert 2 == result.exit_code
    assert "was never named on this machine" in result.stderr
    assert "imported" not in result.stderr


def test_a_folder_whose_task_is_said_again_is_gone_on_with(foreign, monkeypatch):
    train("somebodys:build", run_dir="run")
    monkeypatch.setenv("DUX_CACHE", str(foreign / "another"))

    again = dux("replay", "run", "--task", "somebodys:build")
    other = dux("replay", "run", "--task", "digits")
    resumed = dux("run", "somebodys:build", "--resume", "run")

    assert (0, 2, 0) == (again.exit_code, other.exit_code, resumed.exit_code)
    assert "TASK is digits, and the run in" in other.stderr


@pytest.mark.parametrize("command", ["run", "resume", "replay"])
def test_what_a_strangers_code_raises_in_training_is_one_line(foreign, command):
    (foreign / "somebodys.py").write_text(
        "from tests.foreign_tasks import Line\n"
        "class Late(Line):\n"
        "    def evaluate(self, split, model=None):\n"
        "        if split == 'test':\n"
        "            raise KeyError('no such split')\n"
        "        return 1.0\n"
        "build = Late\n"
    )

    result = dux("run", "somebodys:build", "--run-dir", "run")
    if command == "resume":
        result = dux("run", "--resume", "run")
    if command == "replay":
        result = dux("replay", "run")

    assert 2 == result.exit_code
    [line] = [line for line in result.stderr.splitlines() if line.startswith("dux:")]
    assert "KeyError: 'no such split' (" in line
    assert "somebodys.py:5" in line


@dataclass(frozen=True)
class Other:
    share: float = option(0.5, "A part.", least=0, most=1)


def test_a_line_of_a_real_number_takes_a_whole_one_and_no_nan():
    (line,) = lines(Other).values()

    assert [1.0, 0.25] == [line.checked(1), line.checked(0.25)]
    for wrong in (float("nan"), -0.1, 1.5, True, "0.5"):
        with pytest.raises(BadArgument, match="share is .*leave it out for 0.5"):
            line.checked(wrong)


@pytest.fixture
def local(monkeypatch):
    """A server of one's own that answers with a rule, and no key anywhere."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with fault_server.serving(fault_server.says(f"```python\n{SGD}\n```")) as server:
        yield server


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_options_of_a_model_reach_its_server_and_a_resumed_run(
    local, tmp_path, execution
):
    options = ["temperature=0.7", "top_k=20", f"base_url={local.address_v1}"]
    plan = Plan.asked(
        TASK,
        {
            "model": "openai:tiny",
            "lm_options": options,
            "epochs": 4,
            "execution": execution,
        },
    )
    with pytest.raises(Died):
        train(plan, run_dir=tmp_path / "run", on_event=dying(12))

    resumed = resume(tmp_path / "run", execution=execution)
    again = replay(tmp_path / "run", execution=execution)

    assert () == again.differences
    assert 4 == len(resumed.epochs)
    assert 3 == len(local.asked)
    assert {(0.7, 20)} == {(a["temperature"], a["top_k"]) for a in local.asked}


@pytest.mark.parametrize("name", ["base_url", "openai_proxy", "model_kwargs"])
def test_a_folder_alone_has_no_key_sent_to_an_address(
    local, tmp_path, monkeypatch, name
):
    with pytest.raises(Died):
        train(TASK, run_dir=tmp_path / "run", on_event=dying(6), epochs=2)
    file = tmp_path / "run" / "run.json"
    value = {"x": local.address_v1} if name == "model_kwargs" else local.address_v1
    facts = json.loads(file.read_text()) | {"model": "openai:tiny"}
    facts["arguments"]["lm_options"] = {name: value}
    file.write_text(json.dumps(facts))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-4711")

    result = dux("run", "--resume", tmp_path / "run")

    assert 2 == result.exit_code
    assert f"the options {name}, which were never given on this" in result.stderr
    assert [] == local.asked


def test_a_folder_whose_address_is_said_again_is_gone_on_with(
    local, tmp_path, monkeypatch
):
    option = f"base_url={local.address_v1}"
    with pytest.raises(Died):
        train(
            TASK, lm="openai:tiny", lm_options=option,
            run_dir=tmp_path / "run", on_event=dying(6), epochs=2,
        )  # fmt: skip
    monkeypatch.setenv("DUX_CACHE", str(tmp_path / "another"))

    other = dux("run", TASK, "--resume", tmp_path / "run", "--lm-option", "seed=1")
    said = dux("run", TASK, "--resume", tmp_path / "run", "--lm-option", option)

    assert (2, 0) == (other.exit_code, said.exit_code), said.output
    assert "and the run in" in other.stderr
    assert 1 == len(local.asked)


def test_options_of_a_model_on_the_command_line(local, tmp_path):
    given = ["base_url=" + local.address_v1, "temperature=0.7", "stop=END"]

    result = dux(
        "run", TASK, "--lm", "openai:tiny", "--run-dir", tmp_path / "run",
        *(part for each in given for part in ("--lm-option", each)),
    )  # fmt: skip

    assert 0 == result.exit_code, result.output
    held = read_facts(tmp_path / "run")["arguments"]["lm_options"]
    assert {"temperature": 0.7, "stop": "END"}.items() <= held.items()
    assert {0.7} == {request["temperature"] for request in local.asked}


def test_a_list_of_models_trains_with_the_one_that_answers(local, tmp_path):
    refusing = fault_server.refuses(401)
    with fault_server.serving(refusing) as other:
        result = train(
            TASK,
            lm=["openai:first", "openai:second"],
            lm_options={"base_url": other.address_v1},
            run_dir=tmp_path / "run",
        )

    assert {"first", "second"} == {request["model"] for request in other.asked}
    assert {"failed"} == {change.decision.verdict for change in result.changes}
    facts = read_facts(tmp_path / "run")
    assert "openai:first" == facts["model"]
    assert ["openai:second"] == facts["arguments"]["fallback"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lm_options": "temperature"}, "'temperature'; name=value was wanted"),
        ({"lm_options": ["=3"]}, "'=3'; name=value was wanted"),
        ({"lm_options": "api_key=planted-4711"}, "may be a secret"),
        ({"lm_options": {"default_headers": {"X": "planted-4711"}}}, "may be a secret"),
        ({"lm_options": {"seed": object()}}, "plain values by name were wanted"),
        ({"lm_options": "seed=1"}, "'offline' got the option 'seed'"),
        ({"fallback": [3]}, "the name of a language model was wanted"),
        ({"fallback": "nobody"}, "no language model is called 'nobody'"),
        ({"lm_timeout": "long"}, "a number of seconds above 0 was wanted"),
        ({"decision_timeout": -1}, "a number of seconds above 0 was wanted"),
    ],
)
def test_what_no_model_can_be_asked_with_is_refused_in_words(options, said, tmp_path):
    with pytest.raises(BadArgument, match=said) as caught:
        train(TASK, run_dir=tmp_path / "run", **options)

    assert "planted-4711" not in str(caught.value)
    assert not (tmp_path / "run").exists()


# --- prices and weights


def test_prices_of_ones_own_stand_in_run_json_and_money_is_limited_by_them(tmp_path):
    table = tmp_path / "prices.json"
    table.write_text('{"offline": {"input": 1000, "output": 1000}}')

    result = dux(
        "run",
        TASK,
        "--prices",
        table,
        "--budget",
        "money=0.0001",
        "--run-dir",
        tmp_path / "run",
    )

    assert 0 == result.exit_code, result.output
    facts = read_facts(tmp_path / "run")["arguments"]
    assert {"offline": {"input": 1000.0, "output": 1000.0}} == facts["prices"]
    assert "the budget is used up" in (tmp_path / "run" / "trace.jsonl").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--lm-weights", "3,0"], "a number above 0 for each model was wanted"),
        (["--lm-weights", "3,1"], "lm_weights holds 2 numbers for 1 models"),
        (["--prices", "nowhere.json"], "cannot be read"),
        (["--lm-option", "2:seed=1"], "there are 1 models"),
    ],
)
def test_weights_prices_and_options_that_cannot_be_meant_are_refused(given, said):
    result = dux("run", TASK, *given)

    assert 2 == result.exit_code
    assert said in result.stderr
    assert 1 == result.stderr.count("\n")


def test_money_is_limited_only_where_prices_are_known(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "planted")

    result = dux("run", TASK, "--lm", "openai:of-my-own", "--budget", "money=1")

    assert 2 == result.exit_code
    assert "no price of 'openai:of-my-own' is known" in result.stderr
