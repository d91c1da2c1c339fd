"""The examples run as they stand."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def output_of(name, folder):
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(each for each in sys.path if each),
    }
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert [] == list(folder.iterdir())
    return done.stdout


def test_the_plain_loop_applies_proposals_and_trains(tmp_path):
    printed = output_of("plain_loop.py", tmp_path)

    losses = [
        float(line.split()[-1])
        for line in printed.splitlines()
        if line.startswith("epoch")
    ]
    assert 5 == len(losses)
    assert losses[-1] < losses[0] / 2
    assert "applied" in printed


def test_the_graph_alone_makes_a_decision(tmp_path):
    printed = output_of("graph_only.py", tmp_path)

    assert "verdict: applied" in printed


@pytest.mark.parametrize("name", ["tune_sklearn.py", "tune_optuna.py"])
def test_a_study_says_who_proposed_what_and_its_best(name, tmp_path):
    printed = output_of(name, tmp_path)

    assert 8 < printed.count("offline rule: {")
    assert "best 0.0" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="the jail is Linux's")
def test_a_study_of_code_says_its_best_program(tmp_path):
    printed = output_of("tune_code.py", tmp_path)

    assert 4 == printed.count("offline rule: # ")
    assert "best 0." in printed
    assert "def " in printed.partition("best 0.")[2]


def printed_under_ray(script, folder):
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(each for each in sys.path if each),
        "HOME": str(folder),  # where it writes its results
        "RAY_USAGE_STATS_ENABLED": "0",
        # Another's cluster, or what a killed one left, is not joined.
        "RAY_ADDRESS": "local",
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout


@pytest.mark.wall
def test_ray_tune_asks_through_optunas_searcher(tmp_path):
    pytest.importorskip("ray.tune")

    printed = printed_under_ray(EXAMPLES / "tune_ray.py", tmp_path)

    assert "best 0.0625: {'x': 1.25, 'kind': 'a'}" in printed


@pytest.mark.wall
@pytest.mark.timeout(900)  # two starts of Ray's processes
def test_workers_of_ray_train_decide_as_one_and_go_on_where_one_dies(tmp_path):
    pytest.importorskip("ray.train")
    observed = "            agent.observe(loss, batch)\n"
    dies = (
        "            if rank == 1 and agent.step_count == 50 and newest is None:\n"
        "                import os\n"
        "                ray.train.get_all_reported_checkpoints()  # they are kept\n"
        "                os._exit(1)\n"
    )
    script = (EXAMPLES / "ray_train_run.py").read_text()
    dying = tmp_path / "dying.py"
    dying.write_text(script.replace(observed, observed + dies))

    printed = printed_under_ray(dying, tmp_path)

    assert "decisions: applied, applied, applied; loss 0." in printed


@pytest.fixture
def postgres(monkeypatch):
    """A server of Postgres: the one that DUX_POSTGRES names, or one started here."""
    if "DUX_POSTGRES" in os.environ:
        yield
        return
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    commands = os.pathsep.join([os.environ["PATH"], *map(str, places)])
    initdb, server = (
        shutil.which(each, path=commands) for each in ("initdb", "postgres")
    )
    if initdb is None or server is None:
        pytest.skip("Postgres is not installed, and DUX_POSTGRES names no server")
    # It refuses to be run by root. Its folder has a short name: it holds a socket.
    user = "postgres" if os.geteuid() == 0 else None
    folder = tempfile.mkdtemp(dir="/tmp")
    if user is not None:
        shutil.chown(folder, user)
    data = f"{folder}/data"
    made = [initdb, "-D", data, "-A", "trust", "-U", "dux"]
    subprocess.run(made, user=user, cwd=folder, check=True, capture_output=True)
    serving = [server, "-D", data, "-F", "-k", folder, "-h", ""]
    process = subprocess.Popen(
        serving,
        user=user,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        for line in process.stderr:
            if b"ready to accept connections" in line:
                break
        address = f"postgresql://dux@/postgres?host={folder}"
        monkeypatch.setenv("DUX_POSTGRES", address)
        yield
    finally:
        process.send_signal(signal.SIGINT)  # its fast shutdown
        process.communicate(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.skipif(sys.platform == "win32", reason="started as Unix does")
def test_decisions_go_to_a_real_postgres(tmp_path, postgres):
    printed = output_of("postgres.py", tmp_path)

    assert "verdict: applied" in printed
    assert int(printed.rpartition("stages stored:")[2]) >= 4
