# attack: a pattern binds step_code in the body of a mixin; category: introspection
# observable: raised; trigger: import
import torch


def endless(*arguments):
    count = 1
    while count > 0:
        count = count + 1


class Mixin:
    match endless:
        case _optimizer_step_code:
            pass


class Before(torch.optim.SGD):
    pass


class Between(Mixin, torch.optim.SGD):
    pass


class CandidateOptimizer(Before, Between):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
