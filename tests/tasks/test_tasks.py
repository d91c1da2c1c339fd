import os

import pytest
import torch
from torch import nn

from dux_agent import tasks
from dux_agent.errors import BadArgument, DataMissing, MissingExtra
from dux_agent.tasks.in_memory import InMemoryTask

# Losses of the paper's control runs by the tasks' reference definition, torch 2.13.0
# on one CPU thread: training and test loss of every epoch, seed 0.
CONTROL = {
    "sine": (
        [0.864984, 0.761902, 0.749456, 0.742190, 0.731927],
        [0.818510, 0.790428, 0.781823, 0.785467, 0.759015],
    ),
    "mnist": (
        [2.299768, 2.288065, 2.267355, 2.209885, 2.016946],
        [2.299037, 2.279721, 2.247488, 2.144997, 1.825829],
    ),
    "imdb": (
        [0.641497, 0.483627, 0.424503, 0.382454, 0.339744],
        [0.577603, 0.527281, 0.489705, 0.499179, 0.574260],
    ),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def control(task, epochs):
    """Training and test loss by epoch, with the base optimizer alone."""
    optimizer = task.base_optimizer()
    train, test = [], []
    for epoch in range(epochs):
        losses = []
        for batch in task.train_batches(epoch):
            optimizer.zero_grad()
            loss = task.objective(task.model, batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        train.append(sum(losses) / len(losses))
        test.append(task.evaluate("test"))
    return train, test


def tiny(dropout=0.0):
    torch.manual_seed(0)
    inputs, targets = torch.randn(50, 3), torch.randn(50)
    model = nn.Sequential(nn.Linear(3, 1), nn.Dropout(dropout), nn.Flatten(0))
    split = (inputs, targets)
    return InMemoryTask(
        name="tiny",
        description="",
        loss_name="mean squared error",
        model=model,
        loss=nn.functional.mse_loss,
        base=lambda: torch.optim.SGD(model.parameters(), lr=0.1),
        batch_size=8,
        seed=1,
        splits={"train": split, "val": split, "test": split},
        evaluation_batch=7,
    )


def test_the_control_of_sine_has_the_papers_losses():
    train, test = control(tasks.build("sine", seed=0), epochs=5)

    assert CONTROL["sine"][0] == pytest.approx(train, abs=1e-4)
    assert CONTROL["sine"][1] == pytest.approx(test, abs=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif("DUX_DATA" not in os.environ, reason="DUX_DATA names no data")
@pytest.mark.parametrize("name", ["mnist", "imdb"])
def test_the_controls_on_real_data_have_the_papers_losses(name):
    train, test = control(tasks.build(name, seed=0), epochs=5)

    assert CONTROL[name][0] == pytest.approx(train, abs=1e-4)
    assert CONTROL[name][1] == pytest.approx(test, abs=1e-4)


def test_the_control_of_digits_is_slow_and_learns():
    _, test = control(tasks.build("digits", seed=0), epochs=5)

    assert 2.2 < test[0] < 2.4
    assert 1.5 < test[-1] < 2.0


def test_digits_is_split_60_20_20_without_overlap():
    splits = tasks.build("digits", seed=0).splits

    sizes = {name: len(inputs) for name, (inputs, _) in splits.items()}
    everything = torch.cat([inputs for inputs, _ in splits.values()])

    assert {"train": 1078, "val": 359, "test": 360} == sizes
    assert (0.0, 1.0) == (everything.min().item(), everything.max().item())


@pytest.mark.parametrize("name", ["digits", "sine"])
def test_the_seed_decides_weights_and_batches_but_never_the_data(name):
    first, again, other = (tasks.build(name, seed) for seed in (0, 0, 1))

    def weights(task):
        return torch.cat([p.detach().flatten() for p in task.model.parameters()])

    def batch(task):
        return next(task.train_batches(0))[0]

    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))
    assert torch.equal(batch(first), batch(again))
    assert not torch.equal(batch(first), batch(other))
    for split in ("train", "val", "test"):
        assert torch.equal(first.splits[split][0], other.splits[split][0])


def test_what_is_drawn_in_one_epoch_leaves_the_next_as_it_was():
    task = tiny()
    expected = [batch[0] for batch in task.train_batches(1)]

    list(task.train_batches(0))
    torch.rand(1000)
    found = [batch[0] for batch in task.train_batches(1)]

    assert all(map(torch.equal, expected, found))


def test_an_epoch_drops_the_incomplete_last_batch():
    batches = list(tiny().train_batches(0))

    assert [8] * 6 == [len(inputs) for inputs, _ in batches]


def test_evaluating_is_over_the_whole_split_in_eval_mode_and_leaves_no_mark():
    task = tiny(dropout=0.5)
    task.model.train()
    task.model[0].eval()
    inputs, targets = task.splits["test"]
    with torch.no_grad():
        plain = nn.functional.mse_loss(task.model[0](inputs).flatten(), targets)
    numbers = torch.get_rng_state()

    loss = task.evaluate("test")

    assert plain.item() == pytest.approx(loss, rel=1e-5)
    assert [True, False, True] == [m.training for m in list(task.model.modules())[:3]]
    assert torch.equal(numbers, torch.get_rng_state())


def test_an_unknown_task_is_refused_with_the_list_of_tasks():
    with pytest.raises(BadArgument, match="'cifar'.*digits, mnist, sine, imdb"):
        tasks.build("cifar", seed=0)


@pytest.mark.parametrize("seed", [-1, 1 << 32])
def test_a_seed_that_torch_or_numpy_would_refuse_is_refused_first(seed):
    with pytest.raises(BadArgument, match=f"seed is {seed}; it must be from 0"):
        tasks.build("sine", seed=seed)


def test_a_missing_package_is_named_with_its_pip_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)

    with pytest.raises(MissingExtra, match=r"scikit-learn.*'dux-agent\[tasks\]'"):
        tasks.build("digits", seed=0)


@pytest.mark.parametrize(
    ("folder", "message"),
    [("nowhere", "is no folder"), (".", "lacks mnist/train-00000-of-00001.parquet")],
)
def test_missing_data_are_said_in_one_line(tmp_path, monkeypatch, folder, message):
    monkeypatch.setenv("DUX_DATA", str(tmp_path / folder))

    with pytest.raises(DataMissing, match=f"{message}.*point DUX_DATA at it") as raised:
        tasks.build("mnist", seed=0)

    assert "\n" not in str(raised.value)


def test_a_damaged_file_is_said_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "train-00000-of-00001.parquet").write_bytes(b"PAR1 cut off")
    monkeypatch.setenv("DUX_DATA", str(tmp_path))

    with pytest.raises(DataMissing, match="cannot be read: .*fetch it again"):
        tasks.build("imdb", seed=0)


@pytest.mark.parametrize(
    ("former", "now"),
    [("Task", "InMemoryTask"), ("Batch", "Batch"), ("DATA_SEED", "DATA_SEED")],
)
def test_the_former_place_of_the_in_memory_task_still_hands_it_out(former, now):
    from dux_agent.tasks import in_memory, task

    with pytest.warns(DeprecationWarning, match=f"in_memory.{now} now"):
        handed_out = getattr(task, former)

    assert getattr(in_memory, now) is handed_out
