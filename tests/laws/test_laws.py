"""The laws: sound rules keep them, each planted bug breaks one, scripts show it."""

import random
from pathlib import Path

import pytest
import torch

from dux_sandbox.laws import LAWS, OPTIONAL_LAWS, TRAITS, LawResult, check_laws
from tests import laws_table
from tests.designs import BY_DESIGN
from tests.law_mutants import ADAM, MUTANTS, SGD, rule_of, source_of

BENIGN = sorted((Path(__file__).parents[1] / "corpus" / "benign").glob("*.py"))
NAMES = [law.name for law in LAWS]
# Quick and slow find the same; these few stand for each family of bugs.
REPRESENTATIVE = [
    "step_count_on_self",
    "stale_state_after_load",
    "gradient_decayed_in_place",
    "buffer_is_the_gradient",
    "first_group_only",
    "rate_from_defaults",
    "count_raised_for_each_parameter",
    "dies_without_gradient",
    "dies_on_scalars",
    "eps_forgotten",
    "decay_twice",
    "closure_dropped",
    "global_numbers_drawn",
    "class_wide_count",
]
# What `corpus/README.md` says of the rules that are harmless and not lawful.
UNLAWFUL = {
    "clipped_sgd": {"gradients"},
    "muon": {"accepts"},
    "noise_injection": {"checkpoint", "order"},
    "shampoo_small": {"accepts"},
    "subclass_builtin_adam": {"checkpoint"},
}
BUILT_IN = "SGD Adam AdamW RMSprop Adagrad Adadelta Adamax NAdam RAdam".split()


def broken(results):
    return {result.name for result in results if not result.ok}


def only(name):
    return [each for each in NAMES if each != name]


def test_every_law_says_what_it_claims_and_why():
    assert len(NAMES) == len(set(NAMES))
    for law in (*LAWS, *OPTIONAL_LAWS):
        assert law.claim.endswith(".") and law.reason.endswith(".") and law.catches


def test_each_trait_relaxes_exactly_one_law():
    laws = (*LAWS, *OPTIONAL_LAWS)
    relaxed = [(trait, law.name) for law in laws for trait in law.relaxed_by]

    assert sorted((trait, law) for trait, (law, _) in TRAITS.items()) == sorted(relaxed)


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_optimizers_of_torch_keep_every_law(name):
    results = check_laws(getattr(torch.optim, name), examples=0)

    assert NAMES == [result.name for result in results]
    assert {} == {result.name: result.message for result in results if not result.ok}


@pytest.mark.parametrize("source", [ADAM, SGD], ids=["adam", "sgd"])
def test_the_sound_rules_keep_every_law(source):
    results = check_laws(rule_of(source), examples=0, source=source)

    assert set() == broken(results)


@pytest.mark.wall
@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_a_planted_bug_is_found_and_shown(name):
    source, expected = source_of(name), MUTANTS[name][2]

    results = check_laws(rule_of(source), examples=0, source=source)

    assert expected in broken(results)
    script = next(each.example for each in results if each.name == expected)
    with pytest.raises(Exception) as raised:  # whatever the rule dies of
        exec(compile(script, "<script>", "exec"), {"__name__": "script"})
    assert script and raised.type is not SyntaxError


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", MUTANTS)
def test_every_planted_bug_is_found_with_default_settings(name):
    source, expected = source_of(name), MUTANTS[name][2]

    also = {expected} & {law.name for law in OPTIONAL_LAWS}

    results = check_laws(rule_of(source), source=source, also=also)

    assert expected in broken(results)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", BUILT_IN)
def test_the_optimizers_of_torch_keep_every_law_on_drawn_cases(name):
    results = check_laws(getattr(torch.optim, name))

    assert {} == {result.name: result.message for result in results if not result.ok}


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adamax", "Adadelta", "RMSprop"])
def test_a_rule_that_is_told_to_maximize_goes_up_and_is_not_accused(name):
    kind = getattr(torch.optim, name)

    right = check_laws(lambda ps: kind(ps, maximize=True), examples=0)
    [wrong] = check_laws(
        lambda ps: _DownAlways(ps, maximize=True), examples=0, skip=only("downhill")
    )

    assert set() == broken(right)
    assert not wrong.ok and "did not go up along it" in wrong.message


class _DownAlways(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.sub_(p.grad, alpha=float(group["lr"]))


@pytest.mark.parametrize("rate", [torch.tensor(0.01), torch.tensor(0.01).double()])
def test_a_rate_that_is_a_tensor_is_a_rate_to_every_law(rate):
    results = check_laws(lambda ps: torch.optim.SGD(ps, lr=rate), examples=0)

    assert [] == [each.name for each in results if each.verdict != "kept"]


def test_a_factory_that_raises_breaks_one_law_and_the_others_are_not_tried():
    def factory(params):
        raise KeyError("lr")

    results = check_laws(factory, examples=0)

    assert {"accepts"} == broken(results)
    assert NAMES == [result.name for result in results]
    for result in results:
        assert "the factory raised KeyError: lr" in result.message


def test_a_step_that_raises_breaks_one_law_and_the_others_are_not_tried():
    results = check_laws(rule_of(source_of("no_grad_forgotten")), examples=3)

    assert {"accepts"} == broken(results)
    assert "not tried, as `accepts` says: RuntimeError" in results[-1].message


def test_what_dies_of_a_missing_gradient_breaks_the_law_about_that():
    results = check_laws(rule_of(source_of("dies_without_gradient")), examples=10)

    assert {"missing"} == broken(results)


_MOVES = """\
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.addcdiv_"""
CAUSES = {
    "stands still": ((_MOVES, "                p.addcdiv"), {"accepts"}),
    "a step without a closure": (
        ("def step(self, closure=None):", "def step(self):\n        closure = None"),
        {"closure"},
    ),
}


@pytest.mark.parametrize("name", CAUSES)
def test_one_cause_is_one_accusation(name):
    (old, new), expected = CAUSES[name]
    assert old in ADAM

    results = check_laws(rule_of(ADAM.replace(old, new)), examples=0)

    assert expected == broken(results)


def test_what_keeps_a_rule_from_being_tried_is_told_where_accepts_is_left_out():
    rule = rule_of(source_of("no_grad_forgotten"))

    results = check_laws(rule, examples=0, skip=["accepts", "deterministic"])

    assert {"finite"} == broken(results)
    assert results[0].message.startswith("it cannot be tried: RuntimeError")


def test_a_constructor_that_takes_matrices_only_is_given_matrices():
    results = check_laws(torch.optim.Muon, examples=3)

    assert set() == broken(results)
    told = next(each.message for each in results if each.name == "accepts")
    assert "relaxed: the constructor refuses others: matrices-only" == told


def test_a_factory_that_raises_is_told_by_the_only_law_that_is_tried():
    def factory(params):
        raise KeyError("lr")

    results = check_laws(factory, examples=0, skip=only("finite"))

    assert [LawResult("finite", False, "the factory raised KeyError: lr")] == results


def test_what_is_no_optimizer_is_said_so():
    [result] = check_laws(lambda params: object(), examples=0, skip=only("finite"))

    assert not result.ok
    assert "torch.optim.Optimizer" in result.message


def test_laws_are_left_out_by_name():
    results = check_laws(torch.optim.SGD, examples=0, skip=["finite", "accepts"])

    assert {"finite", "accepts"} == set(NAMES) - {result.name for result in results}


def test_an_unknown_law_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="skip names 'finit'; known are determ"):
        check_laws(torch.optim.SGD, skip=["finit"])


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match="examples is -1; it must be >= 0"):
        check_laws(torch.optim.SGD, examples=-1)


def test_the_same_seed_gives_the_same_results():
    source = source_of("sign_turned").replace("=group", "=-abs(1) * -group")
    rule, skip = rule_of(source), only("downhill")

    one, two = (check_laws(rule, examples=8, seed=3, skip=skip) for _ in range(2))

    assert one == two


def test_a_bug_that_only_drawn_cases_meet_is_found_and_shrunk():
    source = SGD.replace(
        "d = p.grad\n", "d = p.grad\n" + 16 * " " + "assert p.shape != (5,)\n"
    )

    [by_hand] = check_laws(rule_of(source), examples=0, skip=only("accepts"))
    [drawn] = check_laws(rule_of(source), examples=200, skip=only("accepts"))

    assert by_hand.ok
    assert not drawn.ok
    assert 1 == drawn.example.count("torch.nn.Parameter(")


def test_what_a_rule_does_not_accept_is_said_by_one_law_alone():
    source = SGD.replace(
        "d = p.grad\n",
        "d = p.grad\n" + 16 * " " + "assert p.dtype != torch.float64\n",
    )
    tried = {"accepts", "frozen", "checkpoint", "episode"}

    results = check_laws(
        rule_of(source), examples=30, skip=[law for law in NAMES if law not in tried]
    )

    assert {"accepts"} == broken(results)


def test_random_numbers_and_modes_are_put_back():
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate()
    source = source_of("default_dtype_changed")

    check_laws(rule_of(source), examples=0, source=source)

    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert torch.float32 == torch.get_default_dtype()


RELAXED = {
    "clips-gradients": source_of("gradient_scaled_in_place"),
    "needs-closure": source_of("closure_needed"),
    "stochastic": source_of("global_numbers_drawn"),
    "matrices-only": source_of("vectors_skipped"),
    "averages-weights": BY_DESIGN["averages-weights"],
    "keeps-residual": BY_DESIGN["keeps-residual"],
    "projects-weights": source_of("weights_clamped"),
    "schedules-rate": source_of("rate_written_into_the_group").replace(
        "        self.param_groups[0]",
        "        for held in self.param_groups:\n            held",
    ),
    "late-rate": BY_DESIGN["late-rate"],
    "keeps-history": source_of("gradients_all_kept"),
    "reads-values": source_of("choice_by_a_value"),
    "shared-clock": source_of("one_count_for_late_groups"),
}


@pytest.mark.parametrize("trait", TRAITS)
def test_a_declared_trait_relaxes_its_law(trait):
    law, _ = TRAITS[trait]
    source = RELAXED[trait]
    declared = f'{source}\n\nRule.__doc__ = "dux: {trait}"\n'
    also = {law} & {each.name for each in OPTIONAL_LAWS}

    without = check_laws(rule_of(source), examples=0, source=source, also=also)
    with_it = check_laws(rule_of(declared), examples=0, source=declared, also=also)

    assert law in broken(without)
    assert broken(without) - {law} == broken(with_it)
    told = next(each.message for each in with_it if each.name == law)
    assert f"relaxed: {trait} is declared" == told


def test_a_trait_that_is_none_is_refused():
    with pytest.raises(ValueError, match="traits names 'lazy'; known are clips-gradi"):
        check_laws(torch.optim.SGD, traits=["lazy"])


def rule_in(file):
    names = {"__name__": file.stem}
    exec(compile(file.read_text(), str(file), "exec"), names)
    return [
        each
        for each in names.values()
        if isinstance(each, type) and issubclass(each, torch.optim.Optimizer)
    ][-1]


@pytest.mark.parametrize("file", BENIGN, ids=lambda file: file.stem)
def test_a_harmless_rule_breaks_the_laws_that_it_is_known_to_break_and_no_other(file):
    results = check_laws(rule_in(file), examples=0, source=file.read_text())

    assert UNLAWFUL.get(file.stem, set()) == broken(results)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", BENIGN, ids=lambda file: file.stem)
def test_a_harmless_rule_breaks_no_other_law_on_drawn_cases(file):
    results = check_laws(rule_in(file), source=file.read_text())

    assert UNLAWFUL.get(file.stem, set()) == broken(results)


def test_the_page_of_the_laws_holds_their_own_words():
    page = laws_table.PAGE.read_text()

    assert laws_table.with_tables(page) == page, "python -m tests.laws_table"
