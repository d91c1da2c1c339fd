"""Reproduces what docs/field-report.md says of pytorch_optimizer 4.1.0.

python docs/field_report.py      with torch and pytorch_optimizer installed
"""

import math

import pytorch_optimizer as found
import torch


def weight(*values):
    return torch.nn.Parameter(torch.tensor(values))


def adabound_loses_count_of_groups():
    a, b = weight(1.0), weight(1.0)
    optimizer = found.AdaBound([a])
    optimizer.add_param_group({"params": [b]})
    a.grad, b.grad = torch.ones(1), torch.ones(1)
    optimizer.step()


def ftrl_divides_by_a_rate_of_zero():
    a = weight(0.5, -1.0)
    optimizer = found.FTRL([a], lr=0.1)
    a.grad = torch.zeros(2)
    optimizer.step()
    return a


def asgd_divides_by_a_rate_of_zero():
    a = weight(0.5, -1.0)
    optimizer = found.ASGD([a], lr=0.1)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    a.grad = torch.zeros(2)
    optimizer.step()
    optimizer.step()
    return a


def gravity_draws_global_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    a = weight(0.5, -1.0)
    optimizer = found.Gravity([a])
    a.grad = torch.ones(2)
    optimizer.step()
    return bool(torch.equal(before, torch.get_rng_state()))


def adan_reads_defaults(change):
    a = weight(0.5, -1.0)
    optimizer = found.Adan([a])
    if change:
        for name, value in optimizer.defaults.items():
            if isinstance(value, float):
                optimizer.defaults[name] = value / 3 + 0.01
    for _ in range(3):
        a.grad = torch.tensor([1.0, -2.0])
        optimizer.step()
    return a.tolist()


def the_gradient_is_changed(name):
    a = weight(0.5, -1.0)
    optimizer = getattr(found, name)([a], weight_decay=0.1)
    a.grad = torch.ones(2)
    optimizer.step()
    return a.grad.tolist()


def fadam_dies_on_float64():
    a = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    optimizer = found.FAdam([a])
    a.grad = torch.ones_like(a)
    optimizer.step()


def lion_ignores_the_rate(lr):
    a = weight(0.5, -1.0)
    optimizer = found.Lion([{"params": [a], "lr": lr, "weight_decay": 0.0}])
    a.grad = torch.tensor([1.0, -2.0])
    optimizer.step()
    return a.tolist()


def qhadam_after_a_checkpoint():
    a = weight(0.5, -1.0)
    optimizer = found.QHAdam([a])
    a.grad = torch.ones(2)
    optimizer.step()
    saved = optimizer.state_dict()
    other = found.QHAdam([weight(0.5, -1.0)])
    other.load_state_dict(saved)
    one, two = (
        {k: getattr(v, "dtype", v) for k, v in s["state"][0].items()}
        for s in (saved, other.state_dict())
    )
    return one, two


def laprop_frozen():
    a = weight(0.5, -1.0)
    optimizer = found.LaProp([a])
    for _ in range(2):
        a.grad = torch.ones(2)
        optimizer.step()
    before = a.tolist()
    optimizer.param_groups[0]["lr"] = 0.0
    a.grad = torch.zeros(2)
    optimizer.step()
    return before, a.tolist()


def show(name, call, *arguments):
    try:
        print(f"{name}{arguments}:", call(*arguments))
    except Exception as error:  # what it dies of is what is shown
        print(f"{name}{arguments}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    assert math.inf
    show("AdaBound.add_param_group", adabound_loses_count_of_groups)
    show("FTRL zero gradient", ftrl_divides_by_a_rate_of_zero)
    show("ASGD lr=0", asgd_divides_by_a_rate_of_zero)
    show("Gravity leaves the RNG alone", gravity_draws_global_numbers)
    show("Adan", adan_reads_defaults, False)
    show("Adan", adan_reads_defaults, True)
    for each in ("ADOPT", "AdEMAMix", "LARS", "QHM", "MADGRAD", "PID", "AggMo"):
        show(each, the_gradient_is_changed, each)
    show("FAdam float64", fadam_dies_on_float64)
    show("Lion", lion_ignores_the_rate, 0.1)
    show("Lion", lion_ignores_the_rate, 0.03)
    show("QHAdam", qhadam_after_a_checkpoint)
    show("LaProp", laprop_frozen)
