"""Steps of optimizers without a reference, written with numpy from their formulas.

Each is `(weights, gradient, memory, number of the step) -> weights` for one matrix in
float64; `memory` is a dictionary that is empty before the first step.
"""

import numpy as np


def lamb(w, g, memory, t):
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * g**2
    mean = memory["m"] / (1 - 0.9**t)
    square = memory["v"] / (1 - 0.999**t)
    update = mean / (np.sqrt(square) + 1e-6) + 0.01 * w
    return w - 1e-3 * np.linalg.norm(w) / np.linalg.norm(update) * update


def optimistic_amsgrad(w, g, memory, t):
    anchor = memory.get("anchor", w)
    before = memory.get("m", np.zeros_like(w))
    guess = memory.get("guess", np.zeros_like(w))
    memory["m"] = 0.9 * before + 0.1 * g
    memory["v"] = 0.999 * memory.get("v", 0.0) + 0.001 * (g - guess) ** 2
    memory["h"] = np.maximum(memory.get("h", 0.0), memory["v"])
    root = np.sqrt(memory["h"]) + 1e-8
    memory["anchor"] = anchor - 1e-3 * memory["m"] / root
    memory["guess"] = g
    return memory["anchor"] - 1e-3 * (0.9 * before + 0.1 * g) / root


def sophia_g(w, g, memory, t):
    memory["m"] = 0.965 * memory.get("m", 0.0) + 0.035 * g
    if t % 10 == 1:
        memory["h"] = 0.99 * memory.get("h", 0.0) + 0.01 * 32 * g**2
    step = np.clip(memory["m"] / (0.04 * memory["h"] + 1e-12), -1, 1)
    return (1 - 1e-3 * 0.1) * w - 1e-3 * step


def dog(w, g, memory, t):
    start = memory.setdefault("start", w)
    memory.setdefault("r", 1e-6 * (1 + np.sqrt((w**2).sum())))
    memory["r"] = max(memory["r"], np.sqrt(((w - start) ** 2).sum()))
    memory["s"] = memory.get("s", 0.0) + (g**2).sum()
    return w - memory["r"] / np.sqrt(memory["s"] + 1e-8) * g


def auon(w, g, memory, t):
    memory["m"] = 0.95 * memory.get("m", 0.0) + 0.05 * g
    update = 0.95 * memory["m"] + 0.05 * g
    update = update / np.sqrt((update**2).sum())
    brake = np.sqrt((np.cosh(1.5 * update) ** 2).mean())
    return (1 - 0.24 * 0.01) * w - 0.24 * update / brake


def frugal(w, g, memory, t):
    rows, columns = w.shape
    width = -(-columns // 4)
    turn, since = (t - 1) // 200, (t - 1) % 200 + 1
    begin = min(turn * width % columns, columns - width)
    chosen = slice(begin, begin + width)
    if since == 1:
        memory["m"], memory["v"] = np.zeros((rows, width)), np.zeros((rows, width))
    memory["m"] = 0.9 * memory["m"] + 0.1 * g[:, chosen]
    memory["v"] = 0.999 * memory["v"] + 0.001 * g[:, chosen] ** 2
    update = np.sign(g)
    root = np.sqrt(memory["v"] / (1 - 0.999**since)) + 1e-8
    update[:, chosen] = memory["m"] / (1 - 0.9**since) / root
    return w - 1e-3 * update


def _rounded_adam(w, g, memory, t, round_mean, round_root):
    mean = 0.9 * memory.get("m", np.zeros(w.size)) + 0.1 * g.ravel()
    square = 0.999 * memory.get("v", np.zeros(w.size)) + 0.001 * g.ravel() ** 2
    root = np.sqrt(square / (1 - 0.999**t)) + 1e-8
    memory["m"], memory["v"] = np.empty(w.size), np.empty(w.size)
    for begin in range(0, w.size, 128):
        block = slice(begin, begin + 128)
        for key, values, rounded in (
            ("m", mean[block], round_mean),
            ("v", np.sqrt(square[block]), round_root),
        ):
            largest = np.abs(values).max()
            share = rounded(np.sqrt(np.abs(values) / largest))
            memory[key][block] = np.sign(values) * share**2 * largest
        memory["v"][block] **= 2
    return w - 1e-3 * (mean / (1 - 0.9**t) / root).reshape(w.shape)


def adam8bit(w, g, memory, t):
    return _rounded_adam(
        w,
        g,
        memory,
        t,
        lambda share: np.round(share * 127) / 127,
        lambda share: np.ceil(share * 255) / 255,
    )


def adam4bit(w, g, memory, t):
    return _rounded_adam(
        w,
        g,
        memory,
        t,
        lambda share: np.round(share * 7) / 7,
        lambda share: np.maximum(np.ceil(share * 16), 1) / 16,
    )


def psgd(w, g, memory, t):
    rows, columns = w.shape
    left = memory.get("left", np.eye(rows))
    right = memory.get("right", np.eye(columns))
    memory["m"] = 0.9 * memory.get("m", 0.0) + 0.1 * g
    mean = memory["m"] / (1 - 0.9**t)
    mean = mean / np.abs(mean).max()
    seen = left @ mean @ right.T
    new = []
    for factor, other, product in (
        (left, right, seen @ seen.T),
        (right, left, seen.T @ seen),
    ):
        # The mean of B B^T over probes V of unit variance, B = factor^-T V other^-1.
        inverse = np.linalg.inv(factor)
        probes = (np.linalg.inv(other) ** 2).sum() * inverse.T @ inverse
        largest = np.sqrt(((product + probes) ** 2).sum())
        new.append(factor - 0.1 * np.triu(product - probes) @ factor / largest)
    memory["left"], memory["right"] = left, right = new
    update = left.T @ left @ mean @ right.T @ right
    update = update / max(1.0, np.sqrt((update**2).mean()) / 1.1)
    return w - 1e-3 * update


STEPS = {
    "lamb": (lamb, {"weight_decay": 0.01}),
    "optimistic_amsgrad": (optimistic_amsgrad, {}),
    "sophia_g": (sophia_g, {"weight_decay": 0.1}),
    "dog": (dog, {}),
    "auon": (auon, {"weight_decay": 0.01}),
    "frugal": (frugal, {}),
    "adam8bit": (adam8bit, {}),
    "adam4bit": (adam4bit, {}),
    "psgd": (psgd, {}),
}
