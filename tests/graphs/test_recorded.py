import json

import pytest
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from dux_graphs.models import chat_model
from dux_graphs.offline.model import OfflineRules
from dux_graphs.prompt_digest import digest_of_prompt
from dux_graphs.recorded import RecordedChatModel, RecordingError, RecordingMiss
from dux_graphs.recording import RecordingChatModel
from dux_prompts.brief import render_update
from tests.observations import first

ASK = [SystemMessage("rules"), HumanMessage("the loss is 2.3")]


@pytest.fixture
def recording(tmp_path):
    """A file with one prompt asked twice and another asked once."""
    file = tmp_path / "deep" / "run.jsonl"
    model = RecordingChatModel(
        model=FakeListChatModel(responses=["one", "two", "\ud800three"]), file=str(file)
    )
    model.invoke(ASK)
    model.invoke(ASK)
    model.invoke([HumanMessage("the loss is 0.1")])
    return file


def test_replies_are_played_back_in_the_order_they_came_in(recording):
    model = chat_model(f"recorded:{recording}")

    replies = [model.invoke(ASK).text for _ in range(3)]

    assert ["one", "two", "two"] == replies


def test_a_lone_surrogate_survives_the_file(recording):
    model = RecordedChatModel.open(recording)

    assert "\ud800three" == model.invoke([HumanMessage("the loss is 0.1")]).text


def test_a_prompt_that_was_not_recorded_is_a_miss_with_the_nearest(recording):
    model = RecordedChatModel.open(recording)

    with pytest.raises(RecordingMiss) as caught:
        model.invoke([HumanMessage("the loss is 0.15")])

    digest = digest_of_prompt([HumanMessage("the loss is 0.15")])
    assert digest[:12] in str(caught.value)
    assert "nearest is 'the loss is 0.1'" in str(caught.value)
    assert "not among the 2" in str(caught.value)


def test_the_system_message_is_part_of_the_prompt(recording):
    with pytest.raises(RecordingMiss):
        RecordedChatModel.open(recording).invoke([SystemMessage("other"), ASK[1]])


def test_every_line_is_an_object_with_the_documented_fields(recording):
    lines = recording.read_text().splitlines()

    entries = [json.loads(line) for line in lines]
    assert 3 == len(entries)
    assert {"prompt_digest", "reply", "model", "finish_reason", "usage", "hint"} == set(
        entries[0]
    )
    assert digest_of_prompt(ASK) == entries[0]["prompt_digest"]


def test_tokens_and_the_models_name_pass_through_a_recording(tmp_path):
    ask = [HumanMessage(render_update(first()))]
    file = tmp_path / "run.jsonl"
    with get_usage_metadata_callback() as live:
        reply = RecordingChatModel(model=OfflineRules(), file=str(file)).invoke(ask)

    with get_usage_metadata_callback() as played:
        again = RecordedChatModel.open(file).invoke(ask)

    assert reply.text == again.text
    assert live.usage_metadata == played.usage_metadata
    assert played.usage_metadata["offline-rules"]["total_tokens"] > 0


def test_a_call_that_raises_records_nothing(tmp_path):
    class Broken(FakeListChatModel):
        def _generate(self, *args, **kwargs):
            raise TimeoutError

    file = tmp_path / "run.jsonl"
    model = RecordingChatModel(model=Broken(responses=[]), file=str(file))

    with pytest.raises(TimeoutError):
        model.invoke(ASK)

    assert not file.exists()


def test_a_torn_last_line_is_passed_over_and_mended_by_the_next(recording):
    with recording.open("a") as stream:
        stream.write('{"prompt_digest": "ab')

    assert "one" == RecordedChatModel.open(recording).invoke(ASK).text

    fake = FakeListChatModel(responses=["four"])
    RecordingChatModel(model=fake, file=str(recording)).invoke([HumanMessage("new")])
    assert (
        "four" == RecordedChatModel.open(recording).invoke([HumanMessage("new")]).text
    )
    assert 4 == len(recording.read_text().splitlines())


def test_a_last_line_without_its_line_feed_is_kept(recording):
    recording.write_text(recording.read_text().rstrip("\n"))

    fake = FakeListChatModel(responses=["four"])
    RecordingChatModel(model=fake, file=str(recording)).invoke([HumanMessage("new")])

    assert 4 == len(recording.read_text().splitlines())
    RecordedChatModel.open(recording)


def test_a_recording_that_is_not_there_is_refused_in_words(tmp_path):
    with pytest.raises(RecordingError, match="wanted; name one") as caught:
        RecordedChatModel.open(tmp_path / "none.jsonl")

    assert "Errno" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no reply; record a run first"),
        ("not json\n", "line 1: found 'not json'"),
        ('{"reply": "x"}\n', 'wanted a JSON object with "prompt_digest" and "reply"'),
        ("[1]\n", "line 1"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_line(tmp_path, text, said):
    file = tmp_path / "run.jsonl"
    file.write_text(text)

    with pytest.raises(RecordingError, match=said):
        RecordedChatModel.open(file)


def recorded_run(folder, *replies):
    """A run folder whose trace holds these replies."""
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"format": 1, "model": "openai:big"}))
    usage = {"calls": 1, "input_tokens": 7, "output_tokens": 3, "total_tokens": 10}
    digest = digest_of_prompt(ASK)
    lines = [json.dumps({"kind": "loss", "data": {"loss": 1.0}})]
    for reply in replies:
        data = {"content": reply, "prompt": digest, "usage": usage}
        lines.append(json.dumps({"kind": "prompt", "data": {"digest": digest}}))
        lines.append(json.dumps({"kind": "reply", "data": data}))
    (folder / "trace.jsonl").write_text("\n".join([*lines, '{"kind": "reply", "da']))
    return folder


def test_a_run_folder_is_a_recording(tmp_path):
    model = chat_model(f"recorded:{recorded_run(tmp_path / 'run', 'one', 'two')}")

    with get_usage_metadata_callback() as counted:
        replies = [model.invoke(ASK) for _ in range(3)]

    assert ["one", "two", "two"] == [reply.text for reply in replies]
    assert "openai:big" == model.model_name
    assert {"openai:big"} == {
        reply.response_metadata["model_name"] for reply in replies
    }
    assert 30 == counted.usage_metadata["openai:big"]["total_tokens"]


def test_the_real_name_of_a_recorded_model_is_kept(recording):
    lines = [json.loads(line) for line in recording.read_text().splitlines()]
    text = "".join(json.dumps(each | {"model": "gpt-9"}) + "\n" for each in lines)
    recording.write_text(text)

    model = RecordedChatModel.open(recording)

    assert "gpt-9" == model.model_name
    assert "gpt-9" == model.invoke(ASK).response_metadata["model_name"]


def test_a_run_without_a_reply_is_no_recording(tmp_path):
    with pytest.raises(RecordingError, match="got no reply of a language model"):
        RecordedChatModel.open(recorded_run(tmp_path / "run"))


def test_a_folder_that_is_no_run_is_said_in_one_line(tmp_path):
    with pytest.raises(RecordingError, match="is no run folder") as caught:
        RecordedChatModel.open(tmp_path)

    assert "\n" not in str(caught.value)


def test_a_run_is_trained_again_from_its_own_folder(tmp_path):
    from dux_agent.runs.training import train

    first_run = train("tests.foreign_tasks:build", run_dir=tmp_path / "a", epochs=3)
    again = train(
        "tests.foreign_tasks:build",
        lm=f"recorded:{tmp_path / 'a'}",
        run_dir=tmp_path / "b",
        epochs=3,
    )

    assert [each.train for each in first_run.epochs] == [
        each.train for each in again.epochs
    ]
    trace = (tmp_path / "b" / "trace.jsonl").read_text()
    assert '"model":"offline-rules"' in trace.replace(" ", "")
