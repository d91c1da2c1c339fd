"""No single call of a rule takes all memory, the C stack, or the processor for good."""

from __future__ import annotations

import pytest
from _pytest.mark import ParameterSet

from dux_sandbox.loading import load
from tests.forked import outcome
from tests.rule_sources import one_parameter, rule

TOP = """
import itertools
import functools
from collections import OrderedDict
import math as m
from functools import reduce, partial
from itertools import accumulate, chain, islice, starmap, zip_longest
from itertools import pairwise, takewhile, dropwhile

def deep_list(x=1):
    for _ in range(200000):
        x = [x]
    return x

def deep_tuple(x=1):
    for _ in range(200000):
        x = (x,)
    return x

def shared(kind=list, x=1):
    for _ in range(60):
        x = [x, x] if kind is list else (x, x)
    return x

def nested(wrap, x=None):
    x = iter([1]) if x is None else x
    for _ in range(60000):
        x = wrap(x)
    return x

def tall():
    return torch.ones(100000, 1)

def wide():
    return torch.ones(1, 100000)

def endless():
    return (0 for _ in range(1000000) for _ in range(1000000))

def yields(x):
    for _ in range(1000000):
        for _ in range(1000000):
            yield x

def delegates(x):
    for _ in range(1000000):
        yield from [x] * 1000000

def delegated_maps():
    for _ in range(1000000):
        yield from map(abs, range(1000000))

class Box:
    pass

chained = getattr(chain, "from_" + "iterable")
fromkeys = getattr(dict, "from" + "keys")
"""


def end_of(step: str, **within: int) -> str:
    """How one step with these statements ends, in a process of its own."""

    def play() -> None:
        optimizer = load(rule(step, top=TOP))([one_parameter()])
        optimizer.step()

    return outcome(play, **within)


STACK = {
    "hash": "hash(deep_tuple())",
    "hash_in_a_dict": "{}[deep_tuple()] = 1",
    "hash_of_a_lookup": "{}.get(deep_tuple())",
    "hash_of_a_read": "{1: 2}[deep_tuple()]",
    "hash_of_a_deletion": "d = {}\ndel d[deep_tuple()]",
    "hash_in_a_display": "{deep_tuple(): 1}",
    "hash_in_a_set_display": "{deep_tuple()}",
    "hash_in_a_comprehension": "{deep_tuple(): 1 for _ in range(1)}",
    "hash_in_a_set_comprehension": "{deep_tuple() for _ in range(1)}",
    "hash_in": "deep_tuple() in {}",
    "hash_not_in": "deep_tuple() not in {1}",
    "hash_by_set": "set([deep_tuple()])",
    "hash_by_frozenset": "frozenset([deep_tuple()])",
    "hash_by_dict": "dict([(deep_tuple(), 1)])",
    "hash_by_fromkeys": "fromkeys([deep_tuple()])",
    "hash_by_add": "set().add(deep_tuple())",
    "hash_by_update": "set().update([deep_tuple()])",
    "hash_by_dict_update": "{}.update([(deep_tuple(), 1)])",
    "hash_by_union": "{1}.union([deep_tuple()])",
    "hash_by_isdisjoint": "{1}.isdisjoint([deep_tuple()])",
    "hash_by_discard": "{1}.discard(deep_tuple())",
    "hash_by_setdefault": "{}.setdefault(deep_tuple(), 1)",
    "hash_by_pop": "{}.pop(deep_tuple(), None)",
    "hash_by_items": "set({1: deep_tuple()}.items())",
    "hash_by_spread": "{*[deep_tuple()]}",
    "hash_in_the_state": "self.state[deep_tuple()] = 1",
    "hash_in_a_defaultdict": "defaultdict(int)[deep_tuple()]",
    "hash_of_slices": "hash(nested(lambda x: slice(x)))",
    "hash_by_or": "d = {}\nd |= [(deep_tuple(), 1)]",
    "hash_shared": "hash(shared(tuple))",
    "next_of_map": "next(nested(lambda x: map(abs, x)))",
    "next_of_filter": "next(nested(lambda x: filter(None, x)))",
    "next_of_zip": "next(nested(lambda x: zip(x)))",
    "next_of_enumerate": "next(nested(lambda x: enumerate(x)))",
    "next_of_chain": "next(nested(lambda x: chain(x)))",
    "next_of_chained": "next(nested(lambda x: chained([x])))",
    "next_of_islice": "next(nested(lambda x: islice(x, 2)))",
    "next_of_accumulate": "next(nested(lambda x: accumulate(x)))",
    "next_of_starmap": "next(nested(lambda x: starmap(abs, x)))",
    "next_of_zip_longest": "next(nested(lambda x: zip_longest(x)))",
    "next_of_pairwise": "next(nested(lambda x: pairwise(x)))",
    "next_of_takewhile": "next(nested(lambda x: takewhile(abs, x)))",
    "next_of_dropwhile": "next(nested(lambda x: dropwhile(abs, x)))",
    "next_of_generators": "next(nested(lambda x: (i for i in x)))",
    "next_of_next": "next(nested(lambda x: map(next, [x])))",
    "next_of_list": "next(nested(lambda x: map(list, [x])))",
    "next_of_max": "next(nested(lambda x: map(max, [x])))",
    "next_of_sum": "next(nested(lambda x: map(sum, [x])))",
    "list_of_map": "list(nested(lambda x: map(abs, x)))",
    "unpacked_map": "a, = nested(lambda x: map(abs, x))",
    "spread_map": "max(*nested(lambda x: map(abs, x)), 1)",
    "freed_slices": "nested(lambda x: slice(x))",
    "freed_properties": "nested(lambda x: property(x))",
    "freed_setters": "nested(lambda x: property(abs).setter(x), property(abs))",
    "freed_docs": "nested(lambda x: property(None, None, None, x))",
    "freed_static": "nested(lambda x: staticmethod(x), abs)",
    "freed_classmethods": "nested(lambda x: classmethod(x), abs)",
    "freed_deques": "nested(lambda x: deque([x]))",
    "freed_enumerates": "nested(lambda x: enumerate(x))",
    "freed_islices": "nested(lambda x: islice(x, 2))",
    "freed_generators": "nested(lambda x: (i for i in x))",
    "appended_deques": (
        "x = deque()\nfor _ in range(200000):\n    y = deque()\n"
        "    y.append(x)\n    x = y"
    ),
    "tensor_of_lists": "torch.tensor([1, deep_list()])",
    "as_tensor_of_lists": "torch.as_tensor([1, deep_list()])",
    "new_tensor_of_lists": "p.new_tensor([1, deep_list()])",
    "tensor_class_of_lists": "torch.Tensor([1, deep_list()])",
    "index_of_lists": "p[deep_list()]",
    "index_of_lists_written": "p[deep_list()] = 1",
    "index_of_a_tuple_of_lists": "p[0, deep_list()]",
    "value_of_lists_written": "p[0] = deep_list()",
    "equal": "deep_list() == deep_list()",
    "ordered": "deep_tuple() < deep_tuple()",
    "sorted": "sorted([deep_tuple(), deep_tuple()])",
    "sorted_by_key": "sorted([1, 2], key=lambda _: deep_tuple())",
    "sort": "[deep_tuple(), deep_tuple()].sort()",
    "maximum": "max(deep_tuple(), deep_tuple())",
    "maximum_by_key": "max([1, 2], key=lambda _: deep_tuple())",
    "in_a_list": "deep_list() in [deep_list()]",
    "index_in_a_list": "[deep_list()].index(deep_list())",
    "counted_in_a_list": "[deep_list()].count(deep_list())",
    "removed_from_a_list": "[deep_list()].remove(deep_list())",
    "in_values": "deep_list() in {1: deep_list()}.values()",
    "isinstance": "isinstance(1, deep_tuple(int))",
    "text": "str(deep_list())",
    "quoted": "repr(deep_tuple())",
    "in_an_f_string": "f'{deep_list()}'",
    "in_percent": "'%s' % (deep_list(),)",
    "exception": "raise ValueError(deep_list())",
    "classes": (
        "Last = Box\nfor _ in range(200000):\n    class Last(Last):\n        pass\n"
        "setattr(Box, 'x', 1)"
    ),
    "optimizer_of_lists": "torch.optim.SGD(deep_list())",
    "hash_by_keys_and": "{1: 1}.keys() & [deep_tuple()]",
    "hash_by_keys_or": "{1: 1}.keys() | [deep_tuple()]",
    "hash_by_keys_minus": "{1: 1}.keys() - [deep_tuple()]",
    "hash_by_keys_xor": "{1: 1}.keys() ^ [deep_tuple()]",
    "hash_by_items_alone": "{1: deep_tuple()}.items() | []",
    "hash_by_items_on_the_right": "{1} | {1: deep_tuple()}.items()",
    "hash_by_a_list_on_the_left": "[deep_tuple()] - {1: 1}.keys()",
    "hash_by_a_tensor_on_the_left": "p & {1: deep_tuple()}.items()",
    "hash_by_keys_in_place": "k = {1: 1}.keys()\nk &= [deep_tuple()]",
    "hash_by_items_in_place": "k = [1]\nk |= {1: deep_tuple()}.items()",
    "hash_by_items_into_a_tensor": "p -= {1: deep_tuple()}.items()",
    "hash_by_ordered_keys": "OrderedDict([(1, 1)]).keys() & [deep_tuple()]",
    "rolled": "torch.roll(torch.ones(2, 2), [1] * 900000, [0] * 900000)",
    "shifted_spectrum": "torch.fft.fftshift(p, [0] * 900000)",
    "shifted_spectrum_back": "torch.fft.ifftshift(p, dim=[0] * 900000)",
    "rolled_method": "p.roll([1] * 900000, [0] * 900000)",
    "listed_dimensions": "torch.ones([1] * 100000).tolist()",
    "listed_unsqueezed": (
        "x = torch.ones(1)\nfor _ in range(99999):\n    x = x.unsqueeze(0)\nx.tolist()"
    ),
    "listed_new_axes": (
        "x = torch.ones(1)\nfor _ in range(99999):\n    x = x[None]\nx.tolist()"
    ),
}
SHORTENED = {
    "text_of_a_dict": "str({i: s for s in ['a' * 900000] for i in range(2000)})",
    "text_of_a_tensor": "str(torch.zeros([2] * 27))",
    "f_string_of_a_tensor": "f'{torch.zeros([2] * 27)}'",
    "text_shared": "str(shared())",
}
MEMORY = {
    "percent_key_with_a_blank": "'%(a b)0900000000d' % {'a b': 1}",
    "percent_key_with_brackets": "'%((a)(b))900000000d' % {'(a)(b)': 1}",
    "percent_precision": "'%.900000000f' % 1.0",
    "percent_width_of_text": "'%900000000s' % 'x'",
    "percent_computed": "'%*d' % (900000000, 1)",
    "percent_computed_text": "('%' + str(900000000) + 'd') % 1",
    "percent_repeated": "('%(a)s' * 100000) % {'a': 'x' * 100000}",
    "percent_many": "('%s' * 100000) % tuple(['x' * 100000] * 100000)",
    "percent_in_place": "t = '%(a b)0900000000d'\nt %= {'a b': 1}",
    "floor_times_text": "k = m\nk.floor(9e8) * 'a'",
    "ceil_times_list": "k = m\nk.ceil(9e8) * [0]",
    "trunc_times_tuple": "k = m\n(0,) * k.trunc(9e8)",
    "floor_of_a_namespace": "[q for q in (m,)][0].floor(9e9) * 'a'",
    "tensor_times_list": "[0] * torch.tensor(900000000)",
    "tensor_times_text": "torch.tensor(900000000) * 'a'",
    "tensor_times_list_in_place": "x = [0]\nx *= torch.tensor(900000000)",
    "tensor_times_deque": "deque([0]) * torch.tensor(900000000)",
    "boolean_times_text": "('a' * 900000) * (True + True)",
    "f_string_of_a_list": "s = 'a' * 900000\nf'{[s] * 2000}'",
    "f_string_of_many": "s = 'a' * 900000\nf'{s}{s}{s}'",
    "format_of_many": "s = 'a' * 900000\n'{0}{0}{0}{0}'.format(s)",
    "computed_format": "format(1, str(900000000))",
    "joined": "s = 'a' * 900000\ns.join([s, s, s])",
    "joined_generator": "''.join('a' * 900000 for _ in range(9000))",
    "replaced": "('a' * 900000).replace('', 'b' * 900000)",
    "padded": "'a'.ljust(900000000)",
    "zero_filled": "'1'.zfill(900000000)",
    "centred": "'1'.center(900000000, '0')",
    "added_text": "s = 'a' * 900000\nfor _ in range(14):\n    s = s + s",
    "added_lists": "s = [0] * 900000\nfor _ in range(14):\n    s += s",
    "summed_lists": "sum([[0] * 900000] * 9000, [])",
    "accumulated_texts": "list(accumulate(['a' * 900000] * 9000))",
    "reduced_texts": "reduce(lambda a, b: a + b, ['a' * 900000] * 9000)",
    "list_comprehension": "[0 for _ in range(1000000) for _ in range(1000)]",
    "set_comprehension": "{(a, b) for a in range(1000000) for b in range(99)}",
    "dict_comprehension": "{(a, b): 0 for a in range(9999) for b in range(9999)}",
    "listed_generator": "list(0 for _ in range(1000000) for _ in range(1000))",
    "size_of_a_generator": "torch.Size(1 for _ in endless())",
    "size_of_yields": "torch.Size(yields(1))",
    "size_of_delegates": "torch.Size(delegates(1))",
    "size_of_delegated_maps": "torch.Size(delegated_maps())",
    "shapes_of_a_generator": "torch.broadcast_shapes(yields(1))",
    "optimizer_of_a_generator": "torch.optim.SGD(yields(p), lr=0.1)",
    "group_of_a_generator": "torch.optim.SGD([{'params': yields(p)}], lr=0.1)",
    "indices_of_a_generator": "p.index_put_(yields(p), p)",
    "vector_of_a_generator": "torch.nn.utils.parameters_to_vector(yields(p))",
    "norms_of_a_generator": "torch.nn.utils.clip_grad_norm_(yields(p), 1.0)",
    "tuple_of_a_chain": "tuple(chained([[0] * 900000] * 9000))",
    "deque_of_a_chain": "deque(chain(*([[0] * 900000] * 9000)))",
    "sorted_chain": "sorted(chain(*([[0] * 900000] * 9000)))",
    "starred_target": "a, *b = chained([[0] * 900000] * 9000)",
    "starred_in_a_loop": "for a, *b in [chain(*([[0] * 900000] * 9000))]:\n    pass",
    "starred_inside": "(a, (b, *c)) = (1, chain(*([[0] * 900000] * 9000)))",
    "starred_in_a_comprehension": (
        "[b for a, *b in [chain(*([[0] * 900000] * 9000))]]"
    ),
    "range": "n = 10 ** 9\nlist(range(n))",
    "text_of_whole_numbers": "int('f' * 900000, 16) // int('e' * 450000, 16)",
    "power": "k = m\nk.floor(3.0) ** 60000000",
    "power_of_a_name": "a = 3\na ** 60000000",
    "power_in_place": "a = 3\na **= 60000000",
    "power_builtin": "pow(3, 60000000)",
    "shift": "a = 1\na << 9000000000",
    "shift_in_place": "a = 1\na <<= 9000000000",
    "factorial": "m.factorial(90000000)",
    "combinations": "m.comb(90000000, 45000000)",
    "product": "m.prod(range(1, 900000))",
    "least_common_multiple": "m.lcm(*range(1, 90000))",
    "doubled": "a = 1\nfor _ in range(900000):\n    a = a + a",
    "broadcast": "tall() + wide()",
    "broadcast_minus": "tall() - wide()",
    "broadcast_times": "tall() * wide()",
    "broadcast_divided": "tall() / wide()",
    "broadcast_floor": "tall() // wide()",
    "broadcast_modulo": "tall() % wide()",
    "broadcast_power": "tall() ** wide()",
    "broadcast_and": "tall().bool() & wide().bool()",
    "broadcast_or": "tall().bool() | wide().bool()",
    "broadcast_xor": "tall().bool() ^ wide().bool()",
    "broadcast_shift": "tall().long() << wide().long()",
    "broadcast_less": "tall() < wide()",
    "broadcast_equal": "tall() == wide()",
    "broadcast_chain": "tall() < wide() < tall()",
    "broadcast_function": "torch.add(tall(), wide())",
    "broadcast_method": "tall().mul(wide())",
    "broadcast_where": "torch.where(tall() > 0, wide(), 0.0)",
    "broadcast_lerp": "torch.lerp(tall(), wide(), 0.5)",
    "broadcast_addcmul": "torch.addcmul(torch.ones(1), tall(), wide())",
    "broadcast_keyword": "torch.maximum(input=tall(), other=wide())",
    "broadcast_clamp": "tall().clamp(min=wide())",
    "broadcast_masked": "tall().masked_fill(wide() > 0, 1.0)",
    "broadcast_loss": "F.l1_loss(tall(), wide())",
    "broadcast_foreach": "torch._foreach_add([tall()], [wide()])",
    "broadcast_view": "torch.broadcast_tensors(tall(), wide())[0].clone()",
    "broadcast_to": "torch.broadcast_to(tall(), (100000, 100000)).clone()",
    "broadcast_expand": "tall().expand(-1, 100000).clone()",
    "broadcast_expand_as": "n = 99999\ntall().expand_as(torch.ones(1).expand(n, n))",
    "broadcast_in": "wide() in tall()",
    "broadcast_in_a_list": "wide() in [tall()]",
    "broadcast_index": "[tall()].index(wide())",
    "broadcast_equal_lists": "[tall()] == [wide()]",
    "broadcast_sorted": "sorted([tall(), wide()])",
    "broadcast_maximum": "max(tall(), wide())",
    "broadcast_sum": "sum([tall(), wide()])",
    "broadcast_divmod": "divmod(tall(), wide())",
    "broadcast_allclose": "torch.allclose(tall(), wide())",
    "broadcast_in_place_of_a_name": "a = 1.0\na += tall()\nb = a @ wide()",
    "matrix_product": "tall() @ wide()",
    "matrix_product_method": "tall().mm(wide())",
    "matrix_product_function": "torch.matmul(tall(), wide())",
    "matrix_product_by_name": "torch.mm(mat2=wide(), input=tall())",
    "matrix_product_by_names_of_numpy": "torch.matmul(other=wide(), a=tall())",
    "batched_product_by_name": "torch.bmm(mat2=wide()[None], x=tall()[None])",
    "added_product_by_name": "torch.ones(1).addmm(mat2=wide(), mat1=tall())",
    "linear_by_name": "F.linear(weight=tall(), input=tall())",
    "transform_of_an_axis": "torch.fft.fft(torch.ones(1, 999999), n=99999, axis=0)",
    "transform_of_axes": "torch.fft.fftn(torch.ones(1, 999999), s=[99999], axis=[0])",
    "matrix_product_in_place": "a = tall()\na @= wide()",
    "outer": "torch.outer(tall()[:, 0], wide()[0])",
    "kron": "torch.kron(tall(), wide())",
    "einsum": "torch.einsum('ab,cd->ad', tall(), wide())",
    "einsum_dots": "torch.einsum('...a,...b->...ab', torch.ones(9, 99999), wide())",
    "einsum_on_its_way": "torch.einsum('a,b,a->b', *([torch.ones(99999)] * 3))",
    "einsum_of_a_list": "torch.einsum('a,b->ab', [torch.ones(99999)] * 2)",
    "tensordot": "torch.tensordot(tall(), wide(), 0)",
    "inner": "torch.inner(tall(), tall())",
    "cdist": "torch.cdist(tall(), tall())",
    "linear": "F.linear(tall(), tall())",
    "chain_of_matrices": "torch.chain_matmul(tall(), wide(), tall())",
    "multi_dot": "torch.linalg.multi_dot([tall(), wide(), tall()])",
    "meshgrid": "torch.meshgrid(tall()[:, 0], wide()[0])[0].clone()",
    "cat": "torch.cat([torch.ones(1000000)] * 100000)",
    "stack": "torch.stack([torch.ones(1000000)] * 100000)",
    "cat_of_views": "torch.cat([torch.ones(1).expand(1000000)] * 100000)",
    "copies_by_foreach": "torch._foreach_neg([torch.ones(1000000)] * 100000)",
    "vector": "torch.nn.utils.parameters_to_vector([torch.ones(999999)] * 99999)",
    "rows": "list(torch.ones(9000000))",
    "rows_in_a_loop": "for row in torch.ones(9000000):\n    break",
    "rows_unpacked": "a, *b = torch.ones(9000000)",
    "rows_unpacked_in_a_loop": "for a, b in [torch.ones(9000000)]:\n    pass",
    "rows_zipped": "next(zip(torch.ones(9000000)))",
    "rows_mapped": "next(map(abs, torch.ones(9000000)))",
    "rows_enumerated": "next(enumerate(torch.ones(9000000)))",
    "rows_compared": "max(torch.ones(9000000))",
    "rows_asked": "any(torch.zeros(9000000))",
    "rows_spread": "print(*torch.ones(9000000))",
    "unbind": "torch.ones(9000000).unbind()",
    "split": "torch.ones(9000000).split(1)",
    "chunk": "torch.ones(9000000).chunk(9000000)",
    "tensor_split": "torch.ones(9).tensor_split(900000000)",
    "hsplit": "torch.ones(9).hsplit(900000000)",
    "index": "torch.ones(1, 100000)[torch.zeros(100000, dtype=torch.long)]",
    "index_by_a_list": "torch.ones(1, 100000)[[0] * 100000]",
    "index_by_two": (
        "i = torch.zeros(100000, dtype=torch.long)\n"
        "torch.ones(1, 1)[i[:, None], i[None]]"
    ),
    "index_written": (
        "i = torch.zeros(1000000, dtype=torch.long)\n"
        "torch.ones(1, 1)[i[:, None], i[None]] = 1"
    ),
    "index_select": "torch.ones(1, 99999).index_select(0, torch.zeros(99999).long())",
    "quantile": "torch.quantile(torch.ones(2, 99999), torch.zeros(99999), dim=0)",
    "unfold": "torch.ones(1000000).unfold(0, 500000, 1).clone()",
    "repeat_interleave": "torch.repeat_interleave(torch.tensor([10 ** 12]))",
    "multinomial": "torch.multinomial(torch.ones(9), 10 ** 10, replacement=True)",
    "nonzero": "torch.ones([2] * 27).nonzero()",
    "full_factors": "torch.linalg.svd(torch.ones(200000, 1))",
    "complete_factors": "torch.linalg.qr(torch.ones(200000, 1), mode='complete')",
    "old_full_factors": "torch.qr(torch.ones(200000, 1), False)",
    "permutation": "torch.linalg.lu(torch.ones(200000, 1))",
    "tuples_of_a_wide_zip": "list(zip(*[range(900000)] * 2000))",
    "tuples_of_a_wide_zip_longest": "list(zip_longest(*[range(900000)] * 2000))",
    "spread_into_calls": (
        "r = range(900000)\nx = [(lambda *a: a)(*r) for _ in range(9999)]"
    ),
    "spread_into_lists": "r = range(900000)\nx = [[*r] for _ in range(9999)]",
    "spread_into_tuples": "r = range(900000)\nx = [(*r,) for _ in range(9999)]",
    "spread_into_sets": "r = range(900000)\nx = [{*r} for _ in range(9999)]",
    "spread_into_dicts": "d = fromkeys(range(99999))\nx = [{**d} for _ in range(9999)]",
    "copied_lists": "r = [0] * 900000\nx = [r.copy() for _ in range(9999)]",
    "copied_dicts": "d = fromkeys(range(99999))\nx = [d.copy() for _ in range(99999)]",
    "copied_sets": "d = set(range(99999))\nx = [d.copy() for _ in range(99999)]",
    "sliced_lists": "r = [0] * 900000\nx = [r[1:] for _ in range(9999)]",
    "sliced_texts": "r = 'a' * 900000\nx = [r[1:] for _ in range(9999)]",
    "texts_in_capitals": "r = 'a' * 900000\nx = [r.upper() for _ in range(9999)]",
    "parts_of_texts": "r = 'a ' * 450000\nx = [r.split() for _ in range(9999)]",
    "united_sets": "d = set(range(99999))\nx = [d | {i} for i in range(99999)]",
    "united_by_name": "d = set(range(99999))\nx = [d.union() for _ in range(9999)]",
    "united_dicts": "d = fromkeys(range(99999))\nx = [d | {} for _ in range(99999)]",
    "sets_of_ranges": "x = [set(range(900000)) for _ in range(999)]",
    "dicts_of_dicts": "d = fromkeys(range(99999))\nx = [dict(d) for _ in range(9999)]",
    "sets_comprehended": "x = [{i for i in range(99999)} for _ in range(9999)]",
    "pairs_listed": "x = [list(enumerate(range(900000))) for _ in range(999)]",
    "lists_of_tensors": "x = [torch.ones(900000).tolist() for _ in range(9999)]",
    "rows_of_tensors": "x = [torch.ones(90000).unbind() for _ in range(9999)]",
    "batched_solve": (
        "a = torch.eye(2).expand(9999, 1, 2, 2)\n"
        "torch.linalg.solve(a, torch.ones(99999, 2, 9))"
    ),
}
PROCESSOR = {
    "chained_any": "any(chained([[0] * 900000] * 900000))",
    "chained_filter": "next(filter(None, chain(*([[0] * 900000] * 900000))))",
    "chained_dropwhile": "next(dropwhile(m.ceil, chain(*([[1] * 900000] * 900000))))",
    "chained_skip": "next(islice(chain(*([[0] * 900000] * 900000)), 10 ** 12, None))",
    "chained_in": "1 in chain(*([[0] * 900000] * 900000))",
    "chained_sum": "m.fsum(chain(*([[0] * 900000] * 900000)))",
    "equal_shared": "shared() == shared()",
    "ordered_shared": "shared(tuple) < shared(tuple)",
    "sorted_shared": "sorted([shared(tuple), shared(tuple)])",
    "tensor_shared": "torch.tensor(shared())",
    "index_shared": "p[shared()]",
    "in_shared": "shared() in [shared()]",
    "isinstance_shared": "isinstance(1, shared(tuple, int))",
    "state_shared": "self.state[p]['x'] = [[[[[1] * 999] * 999] * 999] * 999]",
    "colliding_set": "set([(2 ** 61 - 1) * i for i in range(200000)])",
    "colliding_dict": "fromkeys([(2 ** 61 - 1) * i for i in range(200000)])",
    "colliding_union": "{1}.union([(2 ** 61 - 1) * i for i in range(200000)])",
    "modular_power": "pow(3, int('f' * 900000, 16), int('e' * 900000, 16))",
    "division": "divmod(int('f' * 900000, 16), int('e' * 450000, 16))",
    "remainder": "int('f' * 900000, 16) % int('e' * 450000, 16)",
    "greatest_divisor": "m.gcd(int('f' * 900000, 16), int('e' * 900000, 16))",
    "root": "m.isqrt(int('f' * 900000, 16))",
    "matrix_product": "x = torch.ones(16000, 16000)\nx @ x @ x",
    "whole_numbers": "x = torch.ones(9000, 9000).long()\nx @ x",
    "decomposition": "torch.linalg.svdvals(torch.ones(16000, 16000))",
    "eigenvalues": "torch.linalg.eigvals(torch.ones(16000, 16000))",
    "exponential": "torch.matrix_exp(torch.ones(16000, 16000))",
    "low_rank": "torch.svd_lowrank(torch.ones(9, 9), 2, 10 ** 9)",
    "differences": "torch.diff(torch.ones(9000000), 8000000)",
    "many_operands": (
        "torch.einsum(','.join(['a'] * 30000) + '->a', *([torch.ones(1)] * 30000))"
    ),
    "dimensions_added": "torch.ones([1] * 100000) + torch.ones(1)",
    "dimensions_summed": "torch.ones(*[1] * 100000).sum()",
    "dimensions_sorted": "torch.ones(1).reshape([1] * 100000).sort()",
    "dimensions_repeated": "torch.ones(1).repeat([1] * 900000)",
    "dimensions_tiled": "torch.tile(torch.ones(1), [1] * 900000)",
    "dimensions_full": "torch.full(size=[1] * 100000, fill_value=1.0).cumsum(0)",
    "dimensions_new": "p.new_zeros([1] * 100000).cumsum(0)",
    "dimensions_drawn": "torch.randint(3, [1] * 100000).cumsum(0)",
    "dimensions_expanded": "p.sum().expand([1] * 100000).cumsum(0)",
    "dimensions_meshed": "torch.meshgrid(*[torch.ones(1)] * 3000)[0].sum()",
    "dimensions_unflattened": "torch.ones(1).unflatten(0, [1] * 100000).sum()",
    "dimensions_by_name": (
        "x = torch.ones(1)\nfor _ in range(3000):\n"
        "    x = torch.unsqueeze(dim=0, input=x)\nx.cumsum(0)"
    ),
    "dimensions_by_names_of_numpy": (
        "x = torch.ones(1)\nfor _ in range(3000):\n"
        "    x = torch.unsqueeze(axis=0, a=x)\nx.cumsum(0)"
    ),
    "dimensions_stacked_by_name": (
        "x = torch.ones(1)\nfor _ in range(3000):\n"
        "    x = torch.stack(dim=0, tensors=[x])\nx.cumsum(0)"
    ),
    "dimensions_multiplied": (
        "x = torch.ones([1] * 60)\nfor _ in range(12):\n"
        "    x = torch.tensordot(x, x, 0)\nx.sum()"
    ),
    "dimensions_by_einsum": (
        "x = torch.ones(1)\nfor _ in range(3000):\n"
        "    x = torch.einsum('...,a->...a', x, torch.ones(1))"
    ),
    "dimensions_indexed": (
        "x, i = torch.ones(1), torch.zeros([1] * 60).long()\nfor _ in range(3000):\n"
        "    x = x[i]"
    ),
    "many_matrices": "torch.linalg.multi_dot([torch.ones(2, 2)] * 5000)",
}


def sampled(table: dict[str, str]) -> list[ParameterSet]:
    """All names, every third in the default suite: each takes a process."""
    return [
        pytest.param(name, marks=[pytest.mark.slow] if index % 3 else [])
        for index, name in enumerate(table)
    ]


@pytest.mark.parametrize("name", sampled(STACK))
def test_nothing_overflows_the_stack(name: str) -> None:
    end = end_of(STACK[name])

    assert not end.startswith(("SIG", "SourceRejected")) and end != "memory", end


@pytest.mark.parametrize("name", SHORTENED)
def test_a_text_is_no_longer_than_it_may_be(name: str) -> None:
    end = end_of(f"assert len({SHORTENED[name]}) < 4_000_000")

    assert "returned" == end


@pytest.mark.parametrize("name", sampled(MEMORY))
def test_nothing_asks_for_memory_without_bound(name: str) -> None:
    # What fills memory is bounded by that, however slow a busy machine fills it.
    end = end_of(MEMORY[name], seconds=60)

    assert not end.startswith(("SIG", "SourceRejected")), end
    assert end not in ("memory", "returned"), end


@pytest.mark.parametrize("name", sampled(PROCESSOR))
def test_nothing_keeps_the_processor_in_one_call(name: str) -> None:
    end = end_of(PROCESSOR[name])

    assert not end.startswith(("SIG", "SourceRejected")), end
    assert end not in ("memory", "returned"), end
