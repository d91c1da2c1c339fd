import pytest
import torch

from dux_agent.errors import RunFolderUnusable
from dux_agent.run_folder import run_checkpoint
from dux_agent.run_folder.run_checkpoint import FILE, Keeper, load, save


def state(**more):
    return {
        "trace": 0,
        "course": "agent",
        "positions": {},
        "model": {"weight": torch.ones(2)},
        "random": {},
        "seconds": 1.0,
        **more,
    }


def test_what_was_saved_is_loaded(tmp_path):
    save(tmp_path, state(agent={"losses": [float("nan")], "step": 3}))

    held = load(tmp_path)

    assert 3 == held["agent"]["step"]
    assert torch.equal(torch.ones(2), held["model"]["weight"])
    assert [FILE] == [path.name for path in tmp_path.iterdir()]


def test_before_the_first_there_is_none(tmp_path):
    assert load(tmp_path) is None


class Bomb:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04torn"])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)

    with pytest.raises(RunFolderUnusable, match="cannot be used: .*take it away"):
        load(tmp_path)


def test_a_checkpoint_that_wants_to_run_code_is_refused(tmp_path, capsys):
    torch.save({"version": 1, **state(agent=Bomb())}, tmp_path / FILE)

    with pytest.raises(RunFolderUnusable):
        load(tmp_path)

    assert "" == capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"trace": "x"}, {"model": None}, {"version": 9}])
def test_a_checkpoint_of_another_make_is_refused(tmp_path, wrong):
    torch.save({"version": 1, **state(), **wrong}, tmp_path / FILE)

    with pytest.raises(RunFolderUnusable):
        load(tmp_path)


def test_a_keeper_writes_no_more_than_its_share_of_the_time(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(run_checkpoint.time, "monotonic", lambda: now[0])
    written = []

    def collect():
        written.append(now[0])
        now[0] += 0.1  # what writing one costs
        return state()

    keeper = Keeper(tmp_path, collect)
    for _ in range(10_000):
        now[0] += 0.01
        keeper.when_due()

    assert 4 == len(written)
    assert 0.1 * len(written) / now[0] < 0.005


def test_a_disk_that_refuses_it_ends_no_training(tmp_path, caplog):
    keeper = Keeper(tmp_path / "nowhere", state)

    keeper.now()
    keeper.now()

    assert 1 == caplog.text.count("Training goes on.")
