"""Rules that differ only in what they make of the loop's closure."""

_RULE = '''
import torch


class Descent(torch.optim.Optimizer):
    """Gradient descent with momentum."""

    def __init__(self, params, lr=0.02, beta=0.5):
        super().__init__(params, dict(lr=lr, beta=beta))
        self.t = 0

    @torch.no_grad()
    def step({signature}):
        self.t += 1
        loss = None
{before}
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "m" not in state:
                    state["m"] = torch.zeros_like(p)
                state["m"].mul_(group["beta"]).add_(p.grad)
                p.add_(state["m"], alpha=-group["lr"])
{after}
        return {result}
'''

_CALL = """        if closure is not None{condition}:
            with torch.enable_grad():
                loss = closure()"""


_CALL_ALWAYS = _CALL.format(condition="")


def _rule(
    signature="self, closure=None",
    before=_CALL_ALWAYS,
    after="",
    result="loss",
):
    return _RULE.format(signature=signature, before=before, after=after, result=result)


CALLS = _rule()
IGNORES = _rule(before="", result="None")
TAKES_NONE = _rule(signature="self", before="", result="None")
BY_KEYWORD = _rule(signature="self, *, closure=None")
ANY_ARGUMENTS = _rule(
    signature="self, *arguments",
    before="        closure = arguments[0] if arguments else None\n" + _CALL_ALWAYS,
)
DEMANDS = _rule(
    signature="self, closure",
    before="        with torch.enable_grad():\n            loss = closure()",
)
FORGETS_THE_LOSS = _rule(result="None")
GIVES_A_NUMBER = _rule(result="None if loss is None else loss.item()")
GIVES_ITS_OWN = _rule(before="", result="float(self.t)")
ODD_STEPS_ONLY = _rule(before=_CALL.format(condition=" and self.t % 2 == 1"))
LATER_ONLY = _rule(before=_CALL.format(condition=" and self.t > 3"))
TWICE = _rule(
    before=_CALL_ALWAYS + "\n" + _CALL_ALWAYS,
)
AFTERWARDS = _rule(before="", after=_CALL_ALWAYS)
SHARPNESS = _rule(
    before="""        for group in self.param_groups:
            for p in group["params"]:
                p.add_(0.01)
"""
    + _CALL_ALWAYS
    + """
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(0.01)"""
)

# What works from the gradients alone, and takes the same steps as CALLS.
EQUAL_TO_CALLS = {
    "calls": CALLS,
    "ignores": IGNORES,
    "takes none": TAKES_NONE,
    "by keyword": BY_KEYWORD,
    "any arguments": ANY_ARGUMENTS,
    "demands": DEMANDS,
    "forgets the loss": FORGETS_THE_LOSS,
    "gives a number": GIVES_A_NUMBER,
    "gives its own": GIVES_ITS_OWN,
    "later only": LATER_ONLY,
}
OTHERS = {
    "odd steps only": ODD_STEPS_ONLY,
    "twice": TWICE,
    "afterwards": AFTERWARDS,
    "sharpness": SHARPNESS,
}
