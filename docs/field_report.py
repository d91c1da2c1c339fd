"""Reproduces what docs/field-report.md says of the projects that it names.

python docs/field_report.py      with torch, pytorch_optimizer, adamp and lion-pytorch
"""

import importlib

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


def radam_after_three_steps():
    a = weight(0.5, -1.0)
    optimizer = found.RAdam([a], lr=0.1)
    for _ in range(3):
        a.grad = torch.ones(2)
        optimizer.step()
    return a.tolist()


def nadam_after_a_checkpoint():
    one, two = (torch.nn.Parameter(torch.ones(2, dtype=torch.bfloat16)) for _ in "12")
    optimizer, other = torch.optim.NAdam([one]), torch.optim.NAdam([two])
    one.grad = torch.ones_like(one)
    optimizer.step()
    other.load_state_dict(optimizer.state_dict())
    return optimizer.state[one]["mu_product"], other.state[two]["mu_product"]


def torch_asgd_with_a_rate_of_zero():
    a = weight(0.5, -1.0)
    optimizer = torch.optim.ASGD([a], lr=0.1, weight_decay=0.1)
    a.grad = torch.ones(2)
    optimizer.step()
    before = a.tolist()
    optimizer.param_groups[0]["lr"] = 0.0
    a.grad = torch.zeros(2)
    optimizer.step()
    return before, a.tolist()


def torch_adafactor_on_an_empty_parameter():
    a = torch.nn.Parameter(torch.zeros(0))
    optimizer = torch.optim.Adafactor([a])
    a.grad = torch.zeros(0)
    optimizer.step()


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


def adamp_on_an_empty_matrix():
    a = torch.nn.Parameter(torch.zeros(0, 3))
    optimizer = importlib.import_module("adamp").AdamP([a])
    a.grad = torch.zeros(0, 3)
    optimizer.step()


def lion_without_a_gradient():
    lion = importlib.import_module("lion_pytorch.foreach").Lion
    lion([weight(1.0)]).step()


def show(name, call, *arguments):
    try:
        print(f"{name}{arguments}:", call(*arguments))
    except Exception as error:  # what it dies of is what is shown
        print(f"{name}{arguments}: {type(error).__name__}: {error}")


if __name__ == "__main__":
    show("AdaBound.add_param_group", adabound_loses_count_of_groups)
    show("FTRL zero gradient", ftrl_divides_by_a_rate_of_zero)
    show("ASGD lr=0", asgd_divides_by_a_rate_of_zero)
    show("Gravity leaves the RNG alone", gravity_draws_global_numbers)
    for each in ("ADOPT", "AdEMAMix", "QHM", "MADGRAD", "PID", "AggMo"):
        show(each, the_gradient_is_changed, each)
    show("FAdam float64", fadam_dies_on_float64)
    show("LaProp", laprop_frozen)
    show("RAdam", radam_after_three_steps)
    show("torch NAdam bfloat16", nadam_after_a_checkpoint)
    show("torch ASGD lr=0", torch_asgd_with_a_rate_of_zero)
    show("AdamP on an empty matrix", adamp_on_an_empty_matrix)
    show("Lion without a gradient", lion_without_a_gradient)
    show("torch Adafactor empty", torch_adafactor_on_an_empty_parameter)
