"""ShinkaEvolve improves an optimizer, scored as `dux evolve` scores.

    pip install shinka-evolve
    python examples/evolve_shinka.py

Shinka starts the program that evaluates for each candidate: this file, with
--program_path and --results_dir. Who answers is scripted here, on a server of this
machine, so that nothing is asked over the network: it proposes optimizers of the zoo.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dux_agent.evolving.evaluator import evaluator
from dux_sandbox.zoo import entry

PROPOSALS = iter(["import os", entry("nesterov").source, entry("lion").source])


def program(source):
    """A source with the marks that Shinka looks for."""
    return f"# EVOLVE-BLOCK-START\n{source}\n# EVOLVE-BLOCK-END\n"


class Scripted(BaseHTTPRequestHandler):
    """Answers as a server of OpenAI's does, with the next proposal."""

    def do_POST(self):
        """One completion."""
        self.rfile.read(int(self.headers["Content-Length"]))
        source = next(PROPOSALS, entry("sgd").source)
        text = (
            "<NAME>\nof_the_zoo\n</NAME>\n\n<DESCRIPTION>\nAn optimizer of the zoo.\n"
            f"</DESCRIPTION>\n\n<CODE>\n```python\n{program(source)}```\n</CODE>\n"
        )
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": "zoo"}
        body = json.dumps({**head, "choices": [choice], "usage": usage}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *told):
        """Nothing is logged."""


def search(folder: Path) -> None:
    """Search, and say what was found."""
    from shinka.core import EvolutionConfig, ShinkaEvolveRunner
    from shinka.database import DatabaseConfig
    from shinka.launch import LocalJobConfig

    server = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "initial.py").write_text(program(entry("adagrad").source))
    runner = ShinkaEvolveRunner(
        evo_config=EvolutionConfig(
            num_generations=4,
            patch_types=["full"],
            patch_type_probs=[1.0],
            llm_models=[f"local/zoo@http://127.0.0.1:{server.server_port}/v1"],
            embedding_model=None,
            meta_rec_interval=None,
            init_program_path=str(folder / "initial.py"),
            results_dir=str(folder / "results"),
        ),
        job_config=LocalJobConfig(
            eval_program_path=__file__, python_executable=sys.executable
        ),
        db_config=DatabaseConfig(num_islands=1),
        verbose=False,
        max_evaluation_jobs=1,
        max_proposal_jobs=1,
    )
    runner.run()
    server.shutdown()
    found = sorted((folder / "results").rglob("metrics.json"))
    scores = [json.loads(each.read_text())["combined_score"] for each in found]
    print(f"{len(scores)} programs were scored; the best: {max(scores):.3f}")


def main() -> None:
    """Evaluate one program, or search."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path")
    parser.add_argument("--results_dir")
    given = parser.parse_args()
    if given.program_path:
        score = evaluator(["logistic"], share=0.2)
        score.into_folder(given.program_path, given.results_dir)
        return
    with tempfile.TemporaryDirectory() as folder:
        search(Path(folder))


if __name__ == "__main__":
    main()
