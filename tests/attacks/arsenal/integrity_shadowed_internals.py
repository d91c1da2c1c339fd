# attack: a mixin shadows what torch's optimizer calls on itself; category: integrity
# observable: patched; trigger: init
import torch


class Mixin:
    match 1:
        case profile_hook_step:
            pass

    def add(self):
        return 1


setattr(Mixin, "_patch_step_function", Mixin.add)
setattr(Mixin, "param_groups", [])


class Before(torch.optim.SGD):
    pass


class Between(Mixin, torch.optim.SGD):
    pass


class CandidateOptimizer(Before, Between):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
