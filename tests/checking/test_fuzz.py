"""`dux fuzz`, `attach(fuzz=True)`, and the laws in a process of their own."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dux_agent.checking.fuzzing import LawsAsked, fuzz
from dux_agent.checking.rule_texts import rules_of
from dux_agent.cli import app
from dux_sandbox.findings import SourceRejected
from dux_sandbox.jailed_laws import findings_of, try_laws
from dux_sandbox.laws import LAWS, OPTIONAL_LAWS, LawResult
from tests import models, sources
from tests.designs import DESIGNS
from tests.law_mutants import ADAM, MUTANTS, SGD, source_of
from tests.talking import agent_over, run

CLIPS = source_of("gradient_scaled_in_place")
DECLARED = CLIPS.replace(
    "class Rule(torch.optim.Optimizer):\n",
    'class Rule(torch.optim.Optimizer):\n    """dux: clips-gradients"""\n',
)
RAISES = SGD.replace("d = p.grad\n", "d = p.grad / (1 / 0)\n")


def dux(*arguments):
    return CliRunner().invoke(app, ["fuzz", *arguments, "--examples", "0"])


@pytest.fixture
def write(tmp_path):
    def written(text):
        file = tmp_path / "rule.py"
        file.write_text(text)
        return str(file)

    return written


def rule_of(source):
    [rule] = rules_of("rule.py", source)
    return rule


def test_a_lawful_file_ends_in_0(write):
    result = dux(write(SGD))

    assert (0, True) == (result.exit_code, "lawful" in result.stdout)


def test_a_broken_law_ends_in_1_with_a_script_that_shows_it(write):
    result = dux(write(CLIPS), "--json")

    [told] = json.loads(result.stdout)
    [broken] = [law for law in told["laws"] if not law["ok"]]
    assert (1, False, "gradients") == (result.exit_code, told["ok"], broken["name"])
    with pytest.raises(AssertionError, match="the step changed a gradient"):
        exec(compile(broken["example"], "<script>", "exec"), {})


def test_the_script_is_printed_for_people_too(write):
    result = dux(write(CLIPS))

    assert "gradients: the step changed a gradient" in result.stdout
    assert "import torch" in result.stdout


def test_a_declared_trait_is_shown_and_relaxes_its_law(write):
    result = dux(write(DECLARED))

    assert 0 == result.exit_code
    assert "declares clips-gradients" in result.stdout
    assert "gradients: relaxed: clips-gradients is declared" in result.stdout


def test_a_law_can_be_left_out(write):
    assert 0 == dux(write(CLIPS), "--skip", "gradients").exit_code


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        (SGD, ["--skip", "gravity"], "--skip names 'gravity'; known are "),
        (DECLARED.replace("clips-gradients", "lazy"), [], "declares no trait"),
    ],
)
def test_what_cannot_be_meant_ends_in_2_with_one_line(write, text, arguments, said):
    result = dux(write(text), *arguments)

    assert 2 == result.exit_code
    assert said in result.stderr and 1 == len(result.stderr.splitlines())


TWO = SGD.replace("class Rule", "class First") + CLIPS.removeprefix(
    "import torch\n"
).replace("class Rule", "class Second")


def test_every_optimizer_of_a_file_is_tried_and_named(write):
    result = dux(write(TWO), "--json")

    told = json.loads(result.stdout)
    assert [("First", True), ("Second", False)] == [
        (each["class"], each["ok"]) for each in told
    ]
    assert 1 == result.exit_code


def test_one_optimizer_of_a_file_is_tried_where_it_is_named(write):
    result = dux(write(TWO), "--class", "First")

    assert 0 == result.exit_code
    assert "rule.py First" in result.stdout and "Second" not in result.stdout


def test_what_another_class_of_the_file_imports_is_no_matter(write):
    foreign = "import numpy as np\n\n" + TWO.replace(
        "grad = p.grad.clamp_(-1, 1)", "grad = np.asarray(p.grad)"
    )

    result = dux(write(foreign), "--json")

    first, second = json.loads(result.stdout)
    assert (True, []) == (first["ok"], first["findings"])
    assert ["import"] == [finding["rule"] for finding in second["findings"]]
    assert [] == second["laws"]


def test_a_rule_is_tried_with_the_file_that_it_imports(write, tmp_path):
    (tmp_path / "helper.py").write_text("def half(x):\n    return x / 2\n")
    source = SGD.replace("d = p.grad\n", "d = half(p.grad)\n").replace(
        "import torch\n", "import torch\nfrom helper import half\n"
    )

    alone = dux(write(source))
    together = dux(write(source), "--with", str(tmp_path / "helper.py"))

    assert (1, 0) == (alone.exit_code, together.exit_code)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--class", "Third"], "has no optimizer of that name; it has First, Second"),
        (["--golden", "g.json"], "is for one optimizer of a file, and "),
        (["--class", "First", __file__], "--class First is for one file, and 2"),
    ],
)
def test_what_does_not_go_with_several_classes_ends_in_2(write, arguments, said):
    result = dux(write(TWO), *arguments)

    assert 2 == result.exit_code
    assert said in result.stderr and 1 == len(result.stderr.splitlines())


def test_a_missing_file_ends_in_2():
    assert 2 == dux("nowhere.py").exit_code


def test_a_source_that_is_refused_is_never_run(write):
    result = dux(write("import os\n" + SGD))

    assert 1 == result.exit_code
    assert result.stdout.startswith("refused") and "laws" not in result.stdout
    with pytest.raises(SourceRejected):
        try_laws("import os\n" + SGD, examples=0)


@pytest.mark.parametrize(
    "text", ["\ufeff" + CLIPS, CLIPS + "\n\nODD = '\\d'\n"], ids=["mark", "escape"]
)
def test_what_the_check_lets_through_can_be_fuzzed_without_a_warning(text):
    others = [law.name for law in LAWS if law.name != "gradients"]

    [result] = try_laws(text, examples=0, skip=others)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the script holds what the file holds
        script = compile(result.example, "<script>", "exec")
    with pytest.raises(AssertionError, match="the step changed a gradient"):
        exec(script, {})


def test_a_rule_that_hangs_is_ended():
    source = sources.HANGS

    *_, last = try_laws(source, examples=0, seconds=2.0)

    assert not last.ok
    told = re.fullmatch(r"it used more than 2 s and was at line (\d+)", last.message)
    assert int(told[1]) in sources.lines_of_body(source)


def test_the_laws_after_one_that_ended_the_process_are_unjudged_and_say_so():
    done = fuzz(
        "rule.py",
        rule_of(sources.HANGS),
        LawsAsked(examples=0),
        at=None,
        seconds=2.0,
    )

    verdicts = [law["verdict"] for law in done.as_dict()["laws"]]
    names = [law.name for law in LAWS]
    assert ["broken"] + ["unjudged"] * (len(names) - 1) == verdicts
    assert names[1:] == done.as_dict()["unjudged"]
    assert {f"not tried: `{names[0]}` ended the process that tries them"} == {
        result.message for result in done.results[1:]
    }


def test_a_trial_that_is_stopped_says_why_the_rest_is_unjudged():
    seen = []

    done = fuzz(
        "rule.py",
        rule_of(SGD),
        LawsAsked(examples=0),
        at=None,
        on_result=lambda result: seen.append(result.name),
        stop=lambda: "the time is over" if len(seen) == 2 else "",
    )

    assert [law.name for law in LAWS][:2] == seen
    assert ("kept", "kept", "unjudged") == tuple(r.verdict for r in done.results)[:3]
    assert "not tried: the time is over" == done.results[-1].message
    assert done.ok


KEYS = "file class ok findings traits golden laws unjudged".split()
KEYS_OF_A_LAW = "name ok verdict claim message example".split()


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        (SGD, {"kept"}),
        (CLIPS, {"kept", "broken"}),
        (DECLARED, {"kept", "relaxed"}),
        (SGD.replace("lr", "rate"), {"kept", "unjudged"}),
        (RAISES, {"broken", "unjudged"}),
        ("import os\n" + SGD, set()),
    ],
)
def test_json_has_the_same_keys_whatever_was_found(write, text, verdicts):
    result = dux(write(text), "--json")

    [told] = json.loads(result.stdout)
    assert KEYS == list(told)
    assert all(KEYS_OF_A_LAW == list(law) for law in told["laws"])
    assert verdicts <= {law["verdict"] for law in told["laws"]}
    assert told["unjudged"] == [
        law["name"] for law in told["laws"] if law["verdict"] == "unjudged"
    ]
    assert bool(result.exit_code) != told["ok"]


@pytest.mark.parametrize(
    ("mark", "keys"), [("keys of fuzz", KEYS), ("keys of a law", KEYS_OF_A_LAW)]
)
def test_the_page_has_every_key_and_no_other(mark, keys):
    page = (Path(__file__).parents[2] / "docs" / "vetting.md").read_text()

    table = page.partition(f"<!-- {mark} -->")[2].partition("<!-- end")[0]

    assert keys == re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_laws_that_are_not_judged_for_one_reason_share_a_line(write):
    result = dux(write(RAISES))

    [line] = [each for each in result.stdout.splitlines() if "not tried, as" in each]
    assert "finite, layout" in line and "not judged" in result.stdout


def test_a_rule_that_turns_too_often_breaks_a_law_and_not_a_deadline():
    others = [law.name for law in LAWS if law.name != "accepts"]

    [result] = try_laws(sources.TURNS, examples=0, seconds=600.0, skip=others)

    assert not result.ok
    assert "its while loops took more than 100000 turns" in result.message


def test_drawing_works_in_the_jail():
    names = {law.name for law in LAWS} - {"copies", "rng"}

    results = list(try_laws(SGD, examples=5, skip=names))

    assert [("copies", True), ("rng", True)] == [(r.name, r.ok) for r in results]


def test_drawing_reads_no_file_in_the_jail_whatever_the_seed_makes_it_draw():
    names = {law.name for law in LAWS} - {"deterministic"}
    seeds = (0, 1, 2)

    results = [r for seed in seeds for r in try_laws(SGD, skip=names, seed=seed)]

    assert [(r.ok, r.message) for r in results] == [(True, "")] * len(seeds)


NAMES = [law.name for law in LAWS]
PLANTED = [
    name
    for name, each in MUTANTS.items()
    if each[2] in {law.name for law in OPTIONAL_LAWS}
]


def tried(source, law, **options):
    """What came of one optional law in a process of its own."""
    [result] = try_laws(source, examples=0, skip=NAMES, also=[law], **options)
    return result


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_found_by_the_optional_law_in_the_jail(name):
    result = tried(source_of(name), MUTANTS[name][2])

    assert "broken" == result.verdict
    with pytest.raises(Exception) as raised:  # whatever the rule dies of
        exec(compile(result.example, "<script>", "exec"), {"__name__": "script"})
    assert raised.type is not SyntaxError


@pytest.mark.parametrize(
    ("source", "law"),
    [
        (SGD, "compiled"),
        (ADAM, "compiled"),
        (DESIGNS["soap"], "compiled"),
        (DESIGNS["half_a_mean"], "capturable"),
        (DESIGNS["gathers_four"], "capturable"),
    ],
)
def test_a_sound_rule_keeps_the_optional_laws_in_the_jail(source, law):
    result = tried(source, law)

    assert ("kept", "") == (result.verdict, result.message)


def test_a_rule_that_takes_for_ever_to_trace_is_unjudged_and_not_accused():
    result = tried(DESIGNS["warmed_up"], "compiled", seconds=1e-3)

    assert "unjudged" == result.verdict
    assert "not tried: tracing it took more than 0 s" == result.message


def test_optional_laws_are_asked_for_by_name(write):
    every = [part for name in NAMES for part in ("--skip", name)]

    result = dux(write(SGD), "--json", *every, "--also", "capturable")
    unknown = dux(write(SGD), "--also", "gravity")

    [told] = json.loads(result.stdout)
    assert ["capturable"] == [law["name"] for law in told["laws"]]
    assert (1, 2) == (result.exit_code, unknown.exit_code)
    assert "--also names 'gravity'; known are capturable, compiled" in unknown.stderr


def test_a_finding_names_the_law_and_what_was_wanted():
    broken = LawResult("frozen", False, "it moves", "x\n    return R(p)\n\na = 1\n")

    [finding] = findings_of([broken, LawResult("finite", True)])

    assert ("law: frozen", "it moves; seen with: a = 1") == (
        finding.rule,
        finding.message,
    )
    assert finding.instead.startswith("With lr=0 and zero gradients")


def test_an_agent_that_fuzzes_sends_broken_laws_back_to_the_model():
    model = models.make("mlp")
    with agent_over(model, CLIPS, SGD, fuzz=True) as agent:
        run(agent, 5)
        decision = agent.decide()

    assert ("applied", 2) == (decision.verdict, len(decision.attempts))
    assert "self.state" in decision.source and "momentum" in decision.source


def test_importing_the_sandbox_and_the_plugin_imports_no_hypothesis_and_no_torch():
    code = (
        "import sys; import dux_sandbox, dux_sandbox.pytest_plugin; "
        "print([name for name in ('torch', 'hypothesis') if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]" == done.stdout.strip()


def test_the_laws_need_no_hypothesis_until_examples_are_drawn():
    code = (
        "import sys, torch; sys.modules['hypothesis'] = None\n"
        "from dux_sandbox.laws import check_laws\n"
        "print(all(r.ok for r in check_laws(torch.optim.SGD, examples=0, "
        "skip=[])))\n"
        "try:\n    check_laws(torch.optim.SGD)\n"
        "except ImportError as error:\n    print(error)"
    )

    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"],
        capture_output=True,
        text=True,
        check=True,
    )

    kept, error = done.stdout.splitlines()
    assert "True" == kept
    assert error.endswith("pip install 'dux-agent[fuzz]'")
