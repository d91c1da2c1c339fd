"""A real server that speaks like OpenAI, with a tiny model of random weights."""

import os
import socket
import subprocess
import sys
import urllib.request
from contextlib import suppress

import pytest
import torch

from dux_agent import attach
from dux_agent.run_folder.trace import read
from tests import models
from tests.talking import sgd
from tests.waiting import wait_until

pytest.importorskip("fastapi", reason="transformers serve needs it")


def tiny_model(folder):
    """A language model that has learned nothing, and a tokenizer for every byte."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        PreTrainedTokenizerFast,
    )

    bytewise = Tokenizer(BPE())
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytewise.train_from_iterator(["import torch ```python class step"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise, bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = (
        "{% for m in messages %}<s>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
        "assistant:"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=32768,
            bos_token_id=0,
            eos_token_id=1,
        )
    )
    model.save_pretrained(folder)


@pytest.fixture
def address(tmp_path):
    """`transformers serve` on the loopback, with such a model."""
    tiny_model(tmp_path / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = "from transformers.cli.transformers import main; main()"
    command = [
        sys.executable, "-c", serve, "serve", str(tmp_path / "tiny"),
        "--host", "127.0.0.1", "--port", str(port), "--device", "cpu",
    ]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:

        def answers():
            assert process.poll() is None, (tmp_path / "log").read_text()
            with suppress(OSError):
                where = f"http://127.0.0.1:{port}/v1/models"
                with urllib.request.urlopen(where, timeout=5) as answer:
                    return answer.status == 200
            return False

        wait_until(answers)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["isolated", "inline"])
def test_the_nonsense_of_a_real_server_leaves_a_training_untouched(
    address, execution, tmp_path, monkeypatch
):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    batches = models.batches()

    def trained(step):
        return [step(batches[number % 3]) for number in range(4)]

    model = models.make("mlp")
    with attach(
        model,
        sgd(model),
        models.objective,
        lm=f"openai:{tmp_path / 'tiny'}",
        lm_options={"base_url": address, "temperature": 0.7, "max_tokens": 100},
        execution=execution,
        run_dir=tmp_path / "run",
    ) as agent:
        losses = trained(lambda batch: float(agent.step(batch)))
        decision = agent.decide()
        losses += trained(lambda batch: float(agent.step(batch)))
    alone = models.make("mlp")
    optimizer = sgd(alone)

    def step(batch):
        optimizer.zero_grad()
        loss = models.objective(alone, batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    expected = trained(step) + trained(step)

    # Nonsense that ends is refused, nonsense without end is cut short by its server.
    assert decision.verdict in ("kept", "failed"), decision.reason
    assert decision.usage["calls"] >= 3
    assert decision.usage["input_tokens"] > 1000 > decision.usage["output_tokens"] > 0
    kinds = [event.kind for event in read(tmp_path / "run")]
    assert decision.usage["calls"] == kinds.count("prompt")
    assert expected == losses
