"""What `random` does, written in the language of rules itself, by torch's numbers.

They are drawn from a generator that a rule has made (`random.Random(seed)`), else from
the one that `torch.rand` draws from.
"""

WRITTEN = """
def random_random(generator=None):
    return torch_written_out.rand(
        (), dtype=torch_written_out.float64, generator=generator
    ).item()

def random_uniform(a, b, generator=None):
    return a + (b - a) * random_random(generator)

def random_gauss(mu=0.0, sigma=1.0, generator=None):
    return mu + sigma * torch_written_out.randn(
        (), dtype=torch_written_out.float64, generator=generator
    ).item()

def random_normalvariate(mu=0.0, sigma=1.0, generator=None):
    return random_gauss(mu, sigma, generator)

def random_randrange(start, stop=None, step=1, generator=None):
    numbers = range(start) if stop is None else range(start, stop, step)
    return random_choice(numbers, generator)

def random_randint(a, b, generator=None):
    return random_choice(range(a, b + 1), generator)

def random_choice(seq, generator=None):
    place = torch_written_out.randint(0, len(seq), (), generator=generator)
    return seq[place.item()]

def random_sample(population, k, generator=None):
    if not 0 <= k <= len(population):
        raise ValueError("a sample is no larger than what it is taken of")
    order = torch_written_out.randperm(len(population), generator=generator)
    return [population[place] for place in order[:k].tolist()]

def random_shuffle(x, generator=None):
    x[:] = random_sample(list(x), len(x), generator)

class random_Random:
    def __init__(self, x=None):
        self.generator = torch_written_out.Generator()
        self.seed(x)

    def seed(self, a=None):
        drawn = torch_written_out.randint(2**31, ()).item() if a is None else int(a)
        self.generator.manual_seed(drawn)

    def random(self):
        return random_random(self.generator)

    def uniform(self, a, b):
        return random_uniform(a, b, self.generator)

    def gauss(self, mu=0.0, sigma=1.0):
        return random_gauss(mu, sigma, self.generator)

    def normalvariate(self, mu=0.0, sigma=1.0):
        return random_gauss(mu, sigma, self.generator)

    def randrange(self, start, stop=None, step=1):
        return random_randrange(start, stop, step, self.generator)

    def randint(self, a, b):
        return random_randint(a, b, self.generator)

    def choice(self, seq):
        return random_choice(seq, self.generator)

    def sample(self, population, k):
        return random_sample(population, k, self.generator)

    def shuffle(self, x):
        random_shuffle(x, self.generator)
"""
