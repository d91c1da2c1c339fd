"""No key, header or value of the environment is in any file of a run folder."""

import base64

import pytest

from dux_agent.run_folder.folder import RunFolder
from dux_agent.run_folder.run_checkpoint import save
from dux_graphs.redaction import hide, hide_secrets_of, redactor, secret_values
from tests import models
from tests.loopback import serving
from tests.talking import agent_over, run

PLANTED = ("planted-key-4711", "planted-user-part", "planted-argument", "planted-given")
PAIR = base64.b64encode(b"somebody:planted-user-part").decode()


@pytest.fixture
def environment(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", PLANTED[0])

    def point_at(server):
        monkeypatch.setenv(
            "OPENAI_BASE_URL",
            f"http://somebody:{PLANTED[1]}@127.0.0.1:{server.server_port}"
            f"/v1?api_key={PLANTED[2]}",
        )

    return point_at


def everything_in(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("fault", [401, 404])
def test_an_error_of_a_careless_server_leaves_no_secret_in_any_file(
    tmp_path, environment, fault
):
    with serving(fault) as server:
        environment(server)
        folder = RunFolder.create(tmp_path / "run", {"task": "none", "seed": 0})
        with (
            folder,
            agent_over(models.make("mlp"), lm="openai:tiny", run_dir=folder) as agent,
        ):
            run(agent, 6)
            decision = agent.decide()
            run(agent, 6, first=6)
            agent.decide()  # its prompt tells why the first one failed
            state = {"agent": agent.state_dict()}
        save(folder.path, {"model": {}, **state})

    assert "failed" == decision.verdict
    assert server.asked
    held = everything_in(folder.path)
    assert b"[redacted]" in held
    for secret in (*PLANTED, PAIR):
        assert secret.encode() not in held
        assert secret not in str(state["agent"]["decisions"])


def test_an_error_of_the_callers_own_leaves_no_secret_in_the_decision_store(
    tmp_path, environment
):
    def objective(model, batch):
        if deciding:
            raise ValueError("no such host: planted-key-4711")
        return models.objective(model, batch)

    from dux_agent import attach
    from tests.swapping import SGD
    from tests.talking import scripted, sgd

    deciding = []
    model = models.make("mlp")
    folder = tmp_path / "run"
    with attach(
        model,
        sgd(model),
        objective,
        lm=scripted(SGD),
        run_dir=folder,
        execution="inline",
    ) as agent:
        run(agent, 6)
        deciding.append(True)
        with pytest.raises(ValueError, match="no such host"):
            agent.decide()

    assert (folder / "decisions.sqlite").exists()
    assert b"planted" not in everything_in(folder)


def test_a_key_passed_in_code_is_hidden_from_then_on():
    class Key:
        def get_secret_value(self):
            return "planted-given"

    class Chat:
        def __init__(self):
            self.openai_api_key = Key()
            self.openai_api_base = "http://token-in-address@host/v1"
            self.default_headers = {"X-Api-Key": "planted-header"}
            self.model_name = "harmless-name"

    hide_secrets_of(Chat())

    said = redactor({})("planted-given token-in-address planted-header harmless-name")

    assert "[redacted] [redacted] [redacted] harmless-name" == said


def test_the_parts_of_an_address_are_secrets_and_the_rest_is_not():
    address = (
        "https://me:p%40ssword-1@host.example/v1/path?api_key=planted-a&model=tiny"
    )

    values = secret_values({"OPENAI_BASE_URL": address})

    assert {"p%40ssword-1", "p@ssword-1", "planted-a"} <= set(values)
    assert not {"host.example", "tiny", "me"} & set(values)
    assert redactor({"HOME_URL": address})("see host.example") == "see host.example"


def test_a_value_too_short_to_be_a_secret_is_not_hidden():
    hide("abc")

    assert "abc" == redactor({})("abc")
