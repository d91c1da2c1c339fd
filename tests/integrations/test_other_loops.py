"""Examples in loops of other packages, run against the packages themselves."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.filterwarnings("ignore")
def test_an_agent_trains_in_an_engine_of_ignites(capsys):
    pytest.importorskip("ignite", reason="pytorch-ignite is not installed")

    runpy.run_path(str(EXAMPLES / "ignite_run.py"), run_name="__main__")

    printed = capsys.readouterr().out
    assert "step 20: applied" in printed
    assert float(printed.split()[-1]) < 0.1


@pytest.mark.filterwarnings("ignore")
def test_an_agent_trains_with_the_optimizer_schedule_and_average_of_timm(capsys):
    pytest.importorskip("timm", reason="timm is not installed")

    runpy.run_path(str(EXAMPLES / "timm_run.py"), run_name="__main__")

    printed = capsys.readouterr().out
    assert "step 40: applied" in printed
    assert float(printed.split()[-1]) < 0.5


def test_an_agent_trains_the_matrices_of_a_loop_like_nanochats(capsys):
    runpy.run_path(str(EXAMPLES / "nanochat_run.py"), run_name="__main__")

    printed = capsys.readouterr().out
    assert "step 40: applied" in printed
    assert float(printed.split()[-1]) < 0.5


@pytest.mark.filterwarnings("ignore")
def test_an_agent_behind_a_trainer_of_trls_changes_no_loss_and_decides(tmp_path):
    trl = pytest.importorskip("trl", reason="trl is not installed")
    from dux_agent.integrations.transformers import attach_trainer

    def losses(folder, **options):
        trainer = tuned(trl, tmp_path / folder)
        agent = attach_trainer(trainer, **options) if options else None
        trainer.train()
        decisions = []
        if agent is not None:
            agent.close()
            decisions = [each.verdict for each in agent.decisions]
        history = trainer.state.log_history
        return [each["loss"] for each in history if "loss" in each], decisions

    bare, _ = losses("bare")

    assert (bare, []) == losses("never", lm="offline")
    assert ["applied", "applied"] == losses("decides", lm="offline", every=10)[1]


def tuned(trl, folder):
    """An `SFTTrainer` of a model of one layer, over sentences of twenty words."""
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<pad>", "<eos>", "<unk>", *(f"w{number}" for number in range(20))]
    ids = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    names = {f"{each}_token": f"<{each}>" for each in ("pad", "eos", "unk")}
    torch.manual_seed(0)
    shape = {"n_positions": 16, "n_embd": 16, "n_layer": 1, "n_head": 2}
    texts = [" ".join(f"w{(i + j) % 20}" for j in range(8)) for i in range(40)]
    return trl.SFTTrainer(
        model=GPT2LMHeadModel(GPT2Config(vocab_size=len(words), **shape)),
        args=trl.SFTConfig(
            output_dir=str(folder),
            max_steps=30,
            per_device_train_batch_size=4,
            use_cpu=True,
            bf16=False,
            report_to=[],
            save_strategy="no",
            logging_steps=10,
            disable_tqdm=True,
            max_length=16,
        ),
        train_dataset=Dataset.from_dict({"text": texts}),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names),
    )


@pytest.mark.filterwarnings("ignore")
def test_an_agent_is_closed_where_its_trial_is_pruned(capsys, monkeypatch):
    pytest.importorskip("optuna")
    import dux_agent

    agents, attach = [], dux_agent.attach
    monkeypatch.setattr(
        dux_agent,
        "attach",
        lambda *a, **o: agents.append(attach(*a, **o)) or agents[-1],
    )

    runpy.run_path(str(EXAMPLES / "optuna_trial.py"), run_name="__main__")

    printed = capsys.readouterr().out
    assert "width 32: complete" in printed and ": pruned" in printed
    assert 4 == len(agents) and all(each.closed for each in agents)
    assert all("applied" == each.decisions[0].verdict for each in agents)
