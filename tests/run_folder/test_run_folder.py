import hashlib
import json
import math
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.base import empty_checkpoint

from dux_agent.errors import BadArgument, RunFolderExists, RunFolderUnusable
from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.kept_sources import read_kept_source
from dux_agent.run_folder.run_facts import read_facts
from dux_agent.run_folder.trace import read

FACTS = {"task": "digits", "seed": 3, "model": "offline", "arguments": {"epochs": 2}}


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_new_run_folder_says_what_was_run(tmp_path):
    RunFolder.create(tmp_path / "run", FACTS).close()

    facts = json.loads((tmp_path / "run" / "run.json").read_text())

    assert FACTS == {key: facts[key] for key in FACTS}
    assert {"python", "torch", "langgraph"} <= facts["versions"].keys()
    assert ["run.json", "sources", "trace.jsonl"] == everything_in(tmp_path / "run")


def test_missing_folders_above_it_are_made(tmp_path):
    RunFolder.create(tmp_path / "a" / "b" / "run", FACTS).close()

    assert (tmp_path / "a" / "b" / "run" / "run.json").is_file()


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()

    RunFolder.create(tmp_path / "run", FACTS).close()

    assert (tmp_path / "run" / "run.json").is_file()


@pytest.mark.parametrize("taken", ["folder", "file", "link to nowhere"])
def test_a_name_that_is_taken_is_refused_and_nothing_is_written(tmp_path, taken):
    path = tmp_path / "run"
    if taken == "folder":
        path.mkdir()
        (path / "note.txt").write_text("mine")
    elif taken == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / "nowhere")
    before = everything_in(tmp_path)

    with pytest.raises(RunFolderExists, match="is not empty; .*name another"):
        RunFolder.create(path, FACTS)

    assert before == everything_in(tmp_path)


def test_a_folder_that_cannot_be_made_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(RunFolderUnusable, match="cannot be made: .*--run-dir"):
        RunFolder.create(tmp_path / "file" / "deep" / "run", FACTS)

    assert ["file"] == everything_in(tmp_path)


def test_a_name_the_system_refuses_takes_the_folders_made_for_it_away(tmp_path):
    with pytest.raises(RunFolderUnusable, match="cannot be made"):
        RunFolder.create(tmp_path / "new" / ("x" * 300), FACTS)

    assert [] == everything_in(tmp_path)


def test_a_discarded_folder_takes_the_folders_made_for_it_away(tmp_path):
    folder = RunFolder.create(tmp_path / "runs" / "one", FACTS)

    folder.discard()

    assert [] == everything_in(tmp_path)


def test_of_many_who_want_one_name_exactly_one_gets_it(tmp_path):
    outcomes = []

    def claim():
        try:
            outcomes.append(RunFolder.create(tmp_path / "run", FACTS))
        except RunFolderExists:
            outcomes.append(None)

    threads = [threading.Thread(target=claim) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    winners = [folder for folder in outcomes if folder is not None]
    assert (8, 1) == (len(outcomes), len(winners))
    assert ["run"] == [path.name for path in tmp_path.iterdir()]
    winners[0].close()


def test_events_are_in_the_file_as_soon_as_they_are_written(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        written = folder.event("loss", step=4, data={"loss": math.nan})

        assert [written] == read(folder.path)

    assert ("loss", 4, None) == (written.kind, written.step, written.decision)
    assert {"loss": "NaN"} == written.data


def test_an_event_of_no_known_kind_is_refused(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        with pytest.raises(BadArgument, match="'gossip'"):
            folder.event("gossip", step=0)

        assert [] == read(folder.path)


def test_listeners_hear_every_event_after_it_was_written(tmp_path):
    heard = []
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        folder.subscribe(lambda event: heard.append((event, read(folder.path)[-1])))

        event = folder.event("reply", step=1, decision=1, data={"content": "x"})

    assert [(event, event)] == heard


def test_threads_write_whole_lines(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:

        def write(writer):
            for step in range(50):
                folder.event("loss", step=step, data={"writer": writer, "x": "y" * 300})

        threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        events = read(folder.path)

    assert 200 == len(events)
    for writer in range(4):
        own = [one.step for one in events if one.data["writer"] == writer]
        assert list(range(50)) == own


@settings(max_examples=30, deadline=None)
@given(source=st.text(alphabet=st.characters(categories=None)))
def test_a_source_is_kept_byte_for_byte_under_its_digest(tmp_path_factory, source):
    with RunFolder.create(tmp_path_factory.mktemp("runs") / "run", FACTS) as folder:
        digest = folder.keep_source(source)

        content = (folder.path / "sources" / f"{digest}.py").read_bytes()

        assert source.encode("utf-8", "surrogatepass") == content
        assert digest == hashlib.sha256(content).hexdigest()
        assert source == read_kept_source(folder.path, digest)


def test_a_source_kept_twice_is_one_file(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        digests = {folder.keep_source("x = 1\n") for _ in range(3)}

        files = list((folder.path / "sources").iterdir())

    assert {file.stem for file in files} == digests


@pytest.mark.parametrize("digest", ["../../secret", "", "a" * 63, "a" * 64, "A" * 64])
def test_no_file_but_a_kept_source_is_ever_read(tmp_path, digest):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        (tmp_path / "secret.py").write_text("mine")

        assert read_kept_source(folder.path, digest) is None


def test_a_source_that_was_tampered_with_is_not_handed_out(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        digest = folder.keep_source("x = 1\n")
        (folder.path / "sources" / f"{digest}.py").write_text("x = 2\n")

        assert read_kept_source(folder.path, digest) is None


def test_checkpoints_outlive_the_folder_object(tmp_path):
    config = {"configurable": {"thread_id": "run:1", "checkpoint_ns": ""}}
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        folder.checkpointer().put(config, empty_checkpoint(), {}, {})

    with RunFolder.open(tmp_path / "run") as again:
        held = again.checkpointer().get_tuple(config)

    assert held is not None


def test_opening_mends_a_torn_last_line_and_goes_on(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        first = folder.event("loss", step=1, data={"loss": 1.0})
    with (tmp_path / "run" / "trace.jsonl").open("ab") as trace:
        trace.write(b'{"time":17')

    with RunFolder.open(tmp_path / "run") as again:
        second = again.event("loss", step=2, data={"loss": 0.5})

    assert [first, second] == read(tmp_path / "run")


def test_opening_cuts_a_last_line_that_is_no_event(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        first = folder.event("loss", step=1, data={"loss": 1.0})
    with (tmp_path / "run" / "trace.jsonl").open("ab") as trace:
        trace.write(b'{"time":17{"time":18}\n')

    with RunFolder.open(tmp_path / "run") as again:
        second = again.event("loss", step=2, data={"loss": 0.5})

    assert [first, second] == read(tmp_path / "run")


def test_what_a_full_disk_cut_short_is_taken_back(tmp_path):
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    chat = [{"role": "user", "content": text} for text in "abc"]

    def prompt(step):
        told = {"messages": chat[:step], "digest": str(step)}
        return folder.event("prompt", step=step, decision=step, data=told)

    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        prompt(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (folder.position + 20, before[1]))
        try:
            with pytest.raises(RunFolderUnusable, match="make room on the disk"):
                prompt(2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        prompt(3)

    events = read(tmp_path / "run")
    assert [1, 3] == [event.step for event in events]
    assert chat == events[-1].data["messages"]


def test_a_known_reply_can_be_looked_up_while_events_are_told_again(tmp_path):
    data = {"prompt": "p", "content": "!", "usage": {}}
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        for step in range(1500):
            folder.event("loss", step=step, data={"loss": 1.0})
        folder.event("reply", step=9, decision=1, data=data)
    found = []

    with RunFolder.open(tmp_path / "run") as again:
        over = threading.Event()

        def look():
            while not over.is_set():
                found.append(again.known_reply(1, "p"))

        thread = threading.Thread(target=look)
        thread.start()
        for step in range(1500):
            again.event("loss", step=step, data={"loss": 1.0})
        over.set()
        thread.join()

    assert found and all(reply.data == data for reply in found)


def test_opening_ends_a_whole_line_that_lacks_its_end(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        first = folder.event("loss", step=1, data={"loss": 1.0})
    trace = tmp_path / "run" / "trace.jsonl"
    trace.write_bytes(trace.read_bytes().rstrip(b"\n"))

    with RunFolder.open(tmp_path / "run") as again:
        second = again.event("loss", step=2, data={"loss": 0.5})

    assert [first, second] == read(tmp_path / "run")


@pytest.mark.parametrize("content", [None, "nonsense", "[]", '{"format": 99}'])
def test_what_is_no_run_folder_cannot_be_opened(tmp_path, content):
    if content is not None:
        (tmp_path / "run.json").write_text(content)

    with pytest.raises(RunFolderUnusable, match="run folder"):
        RunFolder.open(tmp_path)


def test_after_closing_nothing_is_written_and_closing_again_is_fine(tmp_path):
    folder = RunFolder.create(tmp_path / "run", FACTS)
    folder.close()

    folder.event("loss", step=1, data={"loss": 1.0})
    folder.keep_source("x = 1\n")
    folder.close()

    assert [] == read(folder.path)
    assert [] == list((folder.path / "sources").iterdir())


def test_no_secret_of_the_environment_is_in_any_file(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "planted-key-4711")

    with RunFolder.create(tmp_path / "run", {**FACTS, "url": "planted-key-4711"}) as it:
        it.event("error", step=1, data={"message": "401: planted-key-4711 is wrong"})
        it.event("prompt", step=1, data={"headers": {"x-api-key": "another"}})

    for file in it.path.rglob("*"):
        assert file.is_dir() or b"planted" not in file.read_bytes()
        assert file.is_dir() or b"another" not in file.read_bytes()


def test_the_facts_can_be_read_alone(tmp_path):
    with RunFolder.create(tmp_path / "run", FACTS) as folder:
        assert 3 == folder.facts["seed"] == read_facts(folder.path)["seed"]
