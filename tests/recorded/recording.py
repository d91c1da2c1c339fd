"""Rules recorded in this process, for tests that look at programs."""

import json

import torch

from dux_sandbox.recorded.json_form import as_json, program_of
from dux_sandbox.recorded.recorder import Recorder
from dux_sandbox.recorded.session import Kept, Shown
from dux_sandbox.recorded.typing_of import type_of
from dux_sandbox.replaying.bounds import Bounds
from dux_sandbox.replaying.replay import Replay

BOUNDS = Bounds(1 << 28, 1 << 30, 1 << 31, 1e11)


class Here:
    """Records in this process; programs still go through JSON."""

    def __init__(self, source, groups):
        parameters = [each for group in groups for each in group["params"]]
        at = {id(each): index for index, each in enumerate(parameters)}
        shown = [
            Shown(type_of(each), tuple(each.stride()), each.requires_grad)
            for each in parameters
        ]
        places = [[at[id(each)] for each in group["params"]] for group in groups]
        self.recorder = Recorder(source, shown, places)
        self.programs = []

    def build(self):
        return self._sent(self.recorder.build())[0]

    def step(self, asked):
        kept = Kept(asked.skeleton, asked.leaves)
        recording = self.recorder.step(
            kept,
            asked.present,
            asked.outcomes,
            asked.closure,
            merge=asked.merge,
        )
        return self._sent(recording)

    def _sent(self, recording):
        text = json.dumps(as_json(recording.program))
        self.programs.append(program_of(json.loads(text)))
        return self.programs[-1], recording.calls


def replay_of(source, groups):
    """A rule over these groups that is recorded here."""
    here = Here(source, groups)
    parameters = [each for group in groups for each in group["params"]]
    replay = Replay(parameters, here, BOUNDS)
    replay.build(here.build())
    return replay, here


def twin_of(groups):
    """The same parameters once more."""
    return [
        {
            "params": [
                torch.nn.Parameter(each.detach().clone(), each.requires_grad)
                for each in group["params"]
            ]
        }
        for group in groups
    ]
