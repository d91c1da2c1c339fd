import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dux_graphs.redaction import is_secret_field, redactor, secret_values


@pytest.mark.parametrize(
    "name",
    ["OPENAI_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "my_token"],
)
def test_the_value_of_a_variable_named_like_a_secret_is_hidden(name):
    redact = redactor({name: "planted-4711"})

    assert "before [redacted] after" == redact("before planted-4711 after")


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/home/somebody"},
        {"TOKENIZERS_PARALLELISM": "parallel"},
        {"USE_KEYRING": "true"},
        {"API_KEY": ""},
    ],
)
def test_a_variable_that_holds_no_secret_is_left_alone(environment):
    # Others, in this process, may have been passed in code before.
    assert secret_values({}) == secret_values(environment)


def test_a_secret_is_found_percent_encoded_as_in_an_address():
    redact = redactor({"API_KEY": "pla/nted+1"})

    assert "http://h/v1?k=[redacted]" == redact("http://h/v1?k=pla%2Fnted%2B1")


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRETSECRET",
        "{'authorization': 'Basic SECRETSECRET'}",
        '{"Authorization": "SECRETSECRET"}',
        "Proxy-Authorization: Basic SECRETSECRET",
        "x-api-key: SECRETSECRET",
        "http://host/v1?api_key=SECRETSECRET&x=1",
        "https://user:SECRETSECRET@host/v1",
        "Incorrect API key provided: SECRETSECRET.",
        "the key sk-SECRETSECRETSECRETSECRET is wrong",
        "lsv2_pt_0SECRETSECRETSECRET_1, hf_aSECRETSECRETSECRET",
        "sent with bearer SECRETSECRETSECRETSECRET",
    ],
)
def test_a_secret_is_known_by_its_form_alone(text):
    redact = redactor({})

    assert "SECRET" not in redact(text)
    assert "[redacted]" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "self.betas = betas  # decay of both moments",
        "parameters of the key projection: (64, 64)",
        "see https://arxiv.org/abs/1412.6980",
        "risk-averse task-informed sk-learn",
        "the tokens: 1,200",
        "rk_residual_norm_squared += float(r) / sk_norms_of_each_direction",
        "the bearer momentum is kept",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert text == redactor({})(text)


@pytest.mark.parametrize("name", ["Authorization", "api_key", "X-Api-Key", "hf_token"])
def test_a_field_named_like_a_header_is_a_secret(name):
    assert is_secret_field(name)


@pytest.mark.parametrize("name", ["loss", "tokens", "input_tokens", "digest", "key"])
def test_an_ordinary_field_is_none(name):
    assert not is_secret_field(name)


@settings(deadline=None)
@given(
    before=st.text(alphabet="abc:/ \n"),
    secret=st.text(alphabet="XYZ 123%", min_size=6).map(str.strip),
    after=st.text(alphabet="abc:/ \n"),
)
def test_no_planted_secret_survives(before, secret, after):
    assume(len(secret) >= 6)
    redact = redactor({"SOME_TOKEN": secret})

    text = redact(before + secret + after)

    assert f"{before}[redacted]{after}" == text
