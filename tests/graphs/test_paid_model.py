import json

import pytest
from langchain_core.messages import AIMessage

from dux_graphs.budget import Budget, BudgetError, BudgetSpent
from dux_graphs.language_model import LanguageModel, by_name
from dux_graphs.paid_model import PaidModel
from dux_graphs.prices import Price, Prices, PricesError
from dux_graphs.prompt_digest import digest_of_chat
from dux_graphs.writing import NobodyWaits, Reply, WriteOptions, written
from tests.talking import Scripted

ASK = [{"role": "user", "content": "what now? " * 40}]
TABLE = Prices.of({"dear": {"input": 1000.0, "output": 2000.0}})
OPTIONS = WriteOptions()


def paid(*replies, name="dear", **options):
    """A paid model over one that says these replies, and that one."""
    chat = Scripted(replies=list(replies) or ["fine"])
    options = {"prices": TABLE, **options}
    return PaidModel({name: LanguageModel(chat)}, **options), chat


def test_a_call_is_counted_with_its_tokens_and_its_price():
    model, _ = paid()

    reply = model.write(ASK, OPTIONS)

    assert "fine" == reply.text
    assert "stop" == reply.finish_reason
    assert pytest.approx(0.013) == reply.usage["money"] == model.usage["money"]
    assert (1, 10) == (model.usage["calls"], model.usage["total_tokens"])
    assert pytest.approx(0.013) == model.budget.spent["money"]


@pytest.mark.parametrize(
    "limits", [{"calls": 1}, {"tokens": 700}, {"money": 1.2}, {"seconds": 3}]
)
def test_no_call_is_made_that_the_budget_has_no_room_for(limits):
    budget = Budget(**limits)
    budget.spend(calls=1, tokens=600, money=1.0, seconds=3)
    model, chat = paid(budget=budget)

    with pytest.raises(BudgetSpent, match="the budget is used up"):
        model.write(ASK, OPTIONS)

    assert [] == chat.asked


def test_one_that_is_given_up_makes_no_call_and_leaves_the_budget_to_others():
    budget = Budget(calls=2)
    model, chat = paid(budget=budget)
    other, _ = paid(budget=budget)

    model.give_up("nobody is there any more")

    with pytest.raises(NobodyWaits, match="nobody is there any more"):
        model.write(ASK, OPTIONS)
    assert model.wait(60.0)
    assert [] == chat.asked
    assert "fine" == other.write(ASK, OPTIONS).text


def test_a_reply_that_a_run_knows_is_not_paid_again():
    digest = digest_of_chat([(m["role"], m["content"]) for m in ASK])
    known = {digest: {"content": "as before", "usage": {"input_tokens": 3}}}
    model, chat = paid(recall=known.get, budget=Budget(tokens=1))

    reply = model.write(ASK, OPTIONS)

    assert ("as before", []) == (reply.text, chat.asked)
    assert 1 == model.budget.spent["calls"]


def test_a_server_that_counts_nothing_is_paid_by_the_estimate():
    class Silent(Scripted):
        def _generate(self, *given, **options):
            result = super()._generate(*given, **options)
            result.generations[0].message = AIMessage("fine")
            return result

    model = PaidModel({"dear": LanguageModel(Silent(replies=["x"]))}, prices=TABLE)

    model.write(ASK, OPTIONS)

    assert 0 == model.usage["total_tokens"]
    assert model.budget.spent["tokens"] > 400
    assert model.budget.spent["money"] > 1.0


def test_estimates_follow_what_calls_have_been():
    model, _ = paid()
    before = model.budget.expected("dear", ASK)

    model.write(ASK, OPTIONS)

    after = model.budget.expected("dear", ASK)
    assert {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10} == after
    assert before["total_tokens"] > 500


def test_a_request_may_name_the_model_and_its_temperature():
    first, second = Scripted(replies=["one"]), Scripted(replies=["two"])
    models = {"a": LanguageModel(first), "b": LanguageModel(second)}

    reply = PaidModel(models).write(ASK, WriteOptions(0.3, "b"))

    assert ("two", []) == (reply.text, first.asked)


def test_the_fallbacks_are_those_that_were_not_asked():
    models = by_name([LanguageModel(Scripted(replies=[n])) for n in ("0", "1", "2")])
    names = list(models)
    ports = PaidModel(models).ports()

    asked = WriteOptions(model=names[1])
    replies = [written(each, ASK, asked).text for each in ports["fallback"]]

    assert ["0", "2"] == replies
    assert "1" == written(ports["write"], ASK, asked).text


def test_models_of_one_name_are_told_apart():
    models = by_name([LanguageModel(Scripted(replies=["x"])) for _ in range(3)])

    assert ["Scripted", "Scripted (2)", "Scripted (3)"] == list(models)


def test_what_was_spent_and_learned_survives_a_checkpoint():
    model, _ = paid()
    model.write(ASK, OPTIONS)
    state = json.loads(json.dumps(model.budget.state_dict()))
    other = Budget()

    other.prepare(state)()

    assert model.budget.spent == other.spent
    assert model.budget.expected("dear", ASK) == other.expected("dear", ASK)


@pytest.mark.parametrize(
    "state",
    [
        {"euros": 1},
        {"calls": -1},
        {"calls": "2"},
        {"calls": float("nan")},
        {"seen": {"m": [1]}, "calls": "x"},
        {"seen": {"m": ["1", 2, 3, 4]}},
        {"seen": {"m": [-1, 2, 3, 4]}},
        {"seen": 3},
    ],
)
def test_a_damaged_state_of_a_budget_is_refused(state):
    with pytest.raises((TypeError, ValueError, LookupError)):
        Budget().prepare(state)


@pytest.mark.parametrize(
    "budget",
    ["much", True, {"euros": 3}, {"calls": 0}, {"money": "1"}, {"calls": None}],
)
def test_what_is_no_budget_is_refused_in_words(budget):
    with pytest.raises(BudgetError, match="budget .* was wanted"):
        Budget.of(budget)


# --- prices


@pytest.mark.parametrize(
    ("name", "price"),
    [
        ("gpt-4o", Price(2.5, 10.0)),
        ("openai:gpt-4o", Price(2.5, 10.0)),
        ("openai:gpt-4o-2024-08-06", Price(2.5, 10.0)),
        ("openai:gpt-4o-mini-2024-07-18", Price(0.15, 0.6)),
        ("anthropic:claude-sonnet-4-5-20250929", Price(3.0, 15.0)),
        ("openai:gpt-4o-audio-preview", None),
        ("openai:of-my-own", None),
        ("offline", Price(0.0, 0.0)),
        ("ollama:qwen3:8b", Price(0.0, 0.0)),
        ("recorded:run.jsonl", Price(0.0, 0.0)),
    ],
)
def test_a_price_is_found_by_the_name_of_the_model(name, price):
    assert price == Prices.of(None).price(name)


def test_the_users_table_comes_first(tmp_path):
    file = tmp_path / "prices.json"
    rows = {"gpt-4o": {"input": 1, "output": 2}, "my:own": {"input": 3, "output": 4}}
    file.write_text(json.dumps(rows))

    prices = Prices.of(file)

    assert Price(1.0, 2.0) == prices.price("openai:gpt-4o")
    assert Price(3.0, 4.0) == prices.price("my:own")
    assert prices.price("gpt-5") is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"a": 3}',
        '{"a": {"input": 1}}',
        '{"a": {"input": -1, "output": 2}}',
        '{"a": {"input": "1", "output": 2}}',
    ],
)
def test_a_table_that_is_none_is_refused_in_words(tmp_path, text):
    file = tmp_path / "prices.json"
    file.write_text(text)

    with pytest.raises(PricesError, match="price.* w(as|ere) wanted"):
        Prices.of(file)


# --- the two forms of write


def test_a_plain_write_gets_messages_alone_and_another_its_options():
    def plain(messages):
        return "plain"

    def full(messages, options):
        return Reply(f"at {options.temperature}", {"total_tokens": 3})

    options = WriteOptions(temperature=0.5)
    assert Reply("plain") == written(plain, ASK, options)
    assert "at 0.5" == written(full, ASK, options).text
