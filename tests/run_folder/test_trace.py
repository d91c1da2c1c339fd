import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dux_agent.errors import BadArgument, RunFolderUnusable
from dux_agent.run_folder.trace import KINDS, Event, check_kind, iterate, plain, read

# Odd on purpose: lone surrogates, NULs, line separators, control characters.
texts = st.text(alphabet=st.characters(categories=None), max_size=40)
keys = texts.filter(lambda key: not key.isidentifier())
odd_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def event(**data):
    return Event(time=1.5, step=7, decision=None, kind="loss", data=data)


@settings(deadline=None)
@given(data=st.dictionaries(keys, odd_data, max_size=4))
def test_whatever_an_event_holds_its_line_reads_back_the_same(data):
    written = Event(2.5, 3, 1, "reply", plain(data))

    line = written.line()

    assert written == Event.from_line(line)
    assert "\n" not in line
    assert line.isascii()


@settings(deadline=None)
@given(data=odd_data)
def test_plain_data_are_strict_json_and_stay_as_they_are(data):
    held = plain(data)

    text = json.dumps(held, allow_nan=False)

    assert held == json.loads(text)
    assert held == plain(held)
    text.encode("utf-8")


@pytest.mark.parametrize(
    ("loss", "written"),
    [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")],
)
def test_a_number_that_json_lacks_is_written_as_text_that_float_reads(loss, written):
    held = plain({"loss": loss})

    assert {"loss": written} == held
    assert repr(loss) == repr(float(held["loss"]))


def test_a_field_named_like_a_secret_is_hidden_where_it_holds_text():
    held = plain({"cls_token": [1, 64], "api_key": ["told"], "hf_token": "told"})

    assert {
        "cls_token": [1, 64],
        "api_key": "[redacted]",
        "hf_token": "[redacted]",
    } == held


def test_scalars_of_torch_become_numbers_and_tensors_only_a_name():
    held = plain({"loss": torch.tensor(0.5), "weights": torch.zeros(3)})

    assert {"loss": 0.5, "weights": "<Tensor>"} == held


def test_what_holds_itself_ends_somewhere():
    loop: dict = {}
    loop["again"] = loop

    assert "<too deep>" in json.dumps(plain(loop))


def test_an_integer_too_wide_for_text_is_named_by_its_size():
    assert "<int of 20001 bits>" == plain(1 << 20_000)


def test_a_secret_of_the_environment_never_enters_an_event(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key-4711")

    held = plain(
        {
            "message": "401 for planted-key-4711",
            "headers": {"Authorization": "Bearer other", "x": ["planted-key-4711"]},
            "planted-key-4711 as a key": 1,
        }
    )

    assert "planted" not in json.dumps(held)
    assert "[redacted]" == held["headers"]["Authorization"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_the_design_is_one(kind):
    check_kind(kind)


def test_another_kind_is_refused_with_the_list_of_kinds():
    with pytest.raises(BadArgument, match="'gossip'.*observation, prompt, reply"):
        check_kind("gossip")


@pytest.mark.parametrize("torn", ['{"time":1', '{"time":1.0}', "[]", "\x00\x00", "5"])
def test_a_torn_last_line_is_passed_over(tmp_path, torn):
    path = tmp_path / "trace.jsonl"
    path.write_text(event(loss=1.0).line() + "\n" + torn)

    assert [event(loss=1.0)] == read(path)


def test_a_line_cut_inside_a_character_is_passed_over(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_bytes(event(loss=1.0).line().encode() + b'\n{"time":1,"k":"\xc3')

    assert [event(loss=1.0)] == read(tmp_path)


def test_a_damaged_line_before_the_last_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(f"{event().line()}\nnonsense\n{event().line()}\n")

    with pytest.raises(RunFolderUnusable, match=r"damaged in line 2"):
        read(path)


def test_an_empty_trace_has_no_events(tmp_path):
    (tmp_path / "trace.jsonl").touch()

    assert [] == read(tmp_path)


def test_a_trace_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(RunFolderUnusable, match="there is no trace at"):
        read(tmp_path / "nowhere")


def test_events_come_one_by_one_in_the_order_written(tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(event(loss=i).line() + "\n" for i in range(5)))

    assert [0, 1, 2, 3, 4] == [one.data["loss"] for one in iterate(path)]


def a_line(step="1", time="1", data="{}"):
    start = f'{{"time":{time},"step":{step},"decision":null'
    return f'{start},"kind":"loss","data":{data}}}'


@pytest.mark.parametrize(
    "line",
    [
        a_line(step="Infinity"),
        a_line(time="1" + "0" * 400),
        a_line(data='{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    ],
    ids=["no step", "no time", "too deep"],
)
def test_a_line_that_python_cannot_hold_is_damage_and_no_crash(tmp_path, line):
    (tmp_path / "trace.jsonl").write_text(f"{a_line()}\n{line}\n{a_line()}\n")

    with pytest.raises(RunFolderUnusable, match="damaged in line 2: it holds what no"):
        read(tmp_path)
