# attack: a mixin gets a property that hides the groups from the trainer; category: introspection
# observable: params_dropped; trigger: step
import torch


class Mixin:
    pass


class Before(torch.optim.SGD):
    pass


class Between(Mixin, torch.optim.SGD):
    pass


class CandidateOptimizer(Before, Between):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
        setattr(Mixin, "param" + "_groups", property(lambda self: []))
