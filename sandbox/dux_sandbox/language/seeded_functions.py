"""Drawing after a seed that is a rule's own, written in the language of rules itself.

A seed, and for each device a generator that was seeded with it, are kept on the rule
that was built or stepped last: they last from step to step, and into its checkpoints.
"""

HELD = "numbers_of_its_own"
"""The attribute of a rule where they are kept. `SeededNumbers.made` is another name for
it, which each method that a training calls begins by giving it again."""
# Of torch: those that draw tensors of sizes, those that draw for tensors they are
# given, those that draw what is like one and take no generator before torch 2.9, and
# the methods that draw into a tensor.
OF_SIZES = "rand randint randn randperm".split()
OF_TENSORS = "bernoulli multinomial normal".split()
LIKE = "rand_like randint_like randn_like".split()
IN_PLACE = """
bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_
""".split()

WRITTEN = (
    """
class SeededNumbers:
    made = {}

def seeds_of(rule):
    if not hasattr(rule, "numbers_of_its_own"):
        rule.numbers_of_its_own = {}
    SeededNumbers.made = rule.numbers_of_its_own

def seeded_numbers(device):
    made = SeededNumbers.made
    if "seed" not in made:
        return None
    place = str(torch_written_out.zeros(0, device=device).device)
    if place not in made:
        made[place] = torch_written_out.Generator(place).manual_seed(made["seed"])
    return made[place]

def seeded_from(options, device):
    if options.get("generator") is not None:
        return options
    return {**options, "generator": seeded_numbers(options.get("device") or device)}

def seeded_by(seed):
    SeededNumbers.made.clear()
    SeededNumbers.made["seed"] = int(seed)
    return seeded_numbers(None)

def seeded_like(x, options):
    made = torch_written_out.empty_like(x, **options)
    return made, seeded_numbers(made.device)

def seeded_rand_like(input, **options):
    made, numbers = seeded_like(input, options)
    return made.uniform_(generator=numbers)

def seeded_randn_like(input, **options):
    made, numbers = seeded_like(input, options)
    return made.normal_(generator=numbers)

def seeded_randint_like(input, low=0, high=None, **options):
    made, numbers = seeded_like(input, options)
    least, end = (0, low) if high is None else (low, high)
    return made.random_(least, end, generator=numbers)
"""
    + "".join(
        f"""
def seeded_{name}(*sizes, **options):
    return torch_written_out.{name}(*sizes, **seeded_from(options, None))
"""
        for name in OF_SIZES
    )
    + "".join(
        f"""
def seeded_{name}(*given, **options):
    every = (*given, *options.values())
    tensors = [x for x in every if isinstance(x, torch_written_out.Tensor)]
    device = tensors[0].device if tensors else None
    return torch_written_out.{name}(*given, **seeded_from(options, device))
"""
        for name in OF_TENSORS
    )
    + "".join(
        f"""
def seeded_{name}(x, *numbers, **options):
    return x.{name}(*numbers, **seeded_from(options, x.device))
"""
        for name in IN_PLACE
    )
)
