"""The counts of writes that autograd keeps, on every torch that is allowed."""

import torch

from dux_sandbox.versions import Versions, one_by_one


def test_torch_2_6_sets_one_count_at_a_time():
    set_now = []

    def of_one(tensor, count):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError("a Tensor was wanted")
        set_now.append((tensor, count))

    one, other = torch.zeros(2), torch.zeros(3)

    one_by_one(of_one)((one, other), (4, 5))

    assert [(id(one), 4), (id(other), 5)] == [(id(x), n) for x, n in set_now]


def test_counts_are_as_they_were():
    one, other = torch.zeros(2).add_(1), torch.zeros(3)
    versions = Versions([one, other])
    other.add_(1)

    versions.put_back()

    assert [1, 0] == [one._version, other._version]
