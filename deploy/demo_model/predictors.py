"""The profile of a trained model and its predictors: which neurons fire, and how to tell before computing them.

The predictor of a layer sees p, the residual after attention and before the FFN norm (PowerInfer's rule for Llama):
logits = fc2 relu(fc1 p), fc1 (RANK, n_embd), fc2 (n_ff, RANK), no biases. A neuron is computed iff logit >= THRESHOLD.
"""

import dataclasses
import sys

import numpy as np
import torch
from torch.nn import functional as F

from model import product

RANK = 64
THRESHOLD = -1.0
RECALL = 0.98  # of the activation mass, aimed at on training text; text never seen comes out a little lower
STEPS, ROWS, LENGTH = 600, 4, 256
LEARNING_RATE = 4e-3


@dataclasses.dataclass
class Measure:
    """One layer on held-out text. Mass is the sum of |hidden|."""

    firing: np.ndarray  # (n_ff): share of tokens for which the neuron fires
    kept: float  # share of neurons the predictor keeps
    mass_recall: float  # share of the mass that is in kept neurons
    count_recall: float  # share of the firing neurons that are kept


def _logits(fc1, fc2, p):
    return product(F.relu(product(p, fc1)), fc2).float()


def learn(model, passages, seed, requantize):
    """Returns [(fc1, fc2)] per layer, float32 arrays for THRESHOLD.

    `model` is the model as it will run (dequantised weights); `requantize` maps a matrix to what the file will hold.
    """
    torch.manual_seed(seed)
    config = model.config
    scales = [1 / p.pow(2).mean().sqrt() for p, _, _ in _traces(model, passages.batch(_generator(seed, 0), ROWS, LENGTH))]
    fc1 = [torch.nn.Parameter(torch.randn(RANK, config.n_embd) * config.n_embd**-0.5) for _ in scales]
    fc2 = [torch.nn.Parameter(torch.randn(config.n_ff, RANK) * 0.1) for _ in scales]
    optimizer = torch.optim.AdamW(fc1 + fc2, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS, pct_start=0.1)
    for step in range(1, STEPS + 1):
        traces = _traces(model, passages.batch(_generator(seed, step), ROWS, LENGTH))
        loss = 0.0
        for layer, (p, gate, hidden) in enumerate(traces):
            logits = _logits(fc1[layer], fc2[layer], p * scales[layer])
            loss = loss + _loss(logits, gate, hidden, model.blk[layer].ffn_down.weight)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 100 == 0:
            print(f"predictors: step {step} loss {loss.item() / config.n_layer:.4f}", flush=True)
    pairs = [(a.detach() * s, b.detach()) for a, b, s in zip(fc1, fc2, scales)]
    return _calibrated(model, passages, seed, pairs, requantize)


def _generator(seed, step):
    return np.random.default_rng((seed, 1, step))


def _traces(model, batch):
    """[(p, gate, hidden)] per layer, each (tokens, ...)."""
    with torch.no_grad():
        return [[t.flatten(0, 1) for t in trace] for trace in model(batch[0])[1]]


def _loss(logits, gate, hidden, down):
    """Cross entropy in which missing a neuron costs in proportion to what it would have added to the residual."""
    fires = (gate > 0).float()
    mass = hidden.float().abs() * down.norm(dim=0)
    weight = mass * (fires.sum() / mass.sum()) * 0.8 + 0.2
    return torch.where(fires > 0, weight * F.softplus(-logits), F.softplus(logits)).mean()


def _calibrated(model, passages, seed, pairs, requantize):
    """Scales each fc2 so that THRESHOLD gives RECALL in its layer."""
    traces = _traces(model, passages.batch(_generator(seed, STEPS + 1), 4 * ROWS, LENGTH))
    result = []
    for (fc1, fc2), (p, _, hidden) in zip(pairs, traces):
        fc1, fc2 = requantize(fc1), requantize(fc2)
        logits, mass = _logits(fc1, fc2, p).flatten(), hidden.float().abs().flatten()
        order = logits.argsort(descending=True)
        share = mass[order].double().cumsum(0) / mass.sum()
        cut = logits[order[int((share < RECALL).sum())]].item()
        if cut >= 0:
            sys.exit(f"the predictor's cut {cut} is not negative: it cannot be scaled to {THRESHOLD}")
        result.append((fc1.numpy(), requantize(fc2 * (THRESHOLD / cut)).numpy()))
    return result


def measure(model, passages, pairs):
    """Returns ([Measure] per layer, number of tokens) over all of `passages`."""
    ids = torch.tensor(passages.in_order())
    length, layers = model.config.n_ctx, range(model.config.n_layer)
    pairs = [(torch.tensor(fc1), torch.tensor(fc2)) for fc1, fc2 in pairs]
    firing = [torch.zeros(model.config.n_ff, dtype=torch.float64) for _ in layers]
    kept, mass_kept, mass_all, hit = (np.zeros(len(layers)) for _ in range(4))
    for start in range(0, len(ids), length):
        for layer, (p, gate, hidden) in enumerate(_traces(model, (ids[None, start : start + length],))):
            keep, fires, mass = _logits(*pairs[layer], p) >= THRESHOLD, gate > 0, hidden.float().abs()
            firing[layer] += fires.double().sum(0)
            kept[layer] += keep.sum().item()
            hit[layer] += (keep & fires).sum().item()
            mass_all[layer] += mass.sum().item()
            mass_kept[layer] += (mass * keep).sum().item()
    result = []
    for layer in layers:
        counts = (kept[layer] / (len(ids) * model.config.n_ff), mass_kept[layer] / mass_all[layer])
        firings = firing[layer].sum().item()
        result.append(Measure((firing[layer] / len(ids)).float().numpy(), *counts, hit[layer] / firings))
    return result, len(ids)
