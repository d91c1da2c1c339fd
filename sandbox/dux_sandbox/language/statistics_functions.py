"""What `statistics` does, written in the language of rules: of numbers in a list.

Sums are taken in order, which a recorded program can do as well: a mean may be off by
the last digits of a double, where Python's own adds fractions.
"""

WRITTEN = """
def statistics_listed(data):
    held = list(data)
    if not held:
        raise ValueError("statistics of no numbers")
    return held

def statistics_fmean(data):
    held = statistics_listed(data)
    return sum(held) / len(held)

def statistics_mean(data):
    return statistics_fmean(data)

def statistics_median(data):
    held = sorted(statistics_listed(data))
    half = len(held) // 2
    return held[half] if len(held) % 2 else (held[half - 1] + held[half]) / 2

def statistics_median_low(data):
    held = sorted(statistics_listed(data))
    return held[(len(held) - 1) // 2]

def statistics_median_high(data):
    held = sorted(statistics_listed(data))
    return held[len(held) // 2]

def statistics_pvariance(data, mu=None):
    held = statistics_listed(data)
    middle = statistics_fmean(held) if mu is None else mu
    return sum([(each - middle) ** 2 for each in held]) / len(held)

def statistics_variance(data, xbar=None):
    held = statistics_listed(data)
    if len(held) < 2:
        raise ValueError("a variance of fewer than two numbers")
    return statistics_pvariance(held, xbar) * len(held) / (len(held) - 1)

def statistics_pstdev(data, mu=None):
    return math_written_out.sqrt(statistics_pvariance(data, mu))

def statistics_stdev(data, xbar=None):
    return math_written_out.sqrt(statistics_variance(data, xbar))
"""
