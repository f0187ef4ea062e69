#!/usr/bin/python3
"""Makes Hearth's demo model from nothing but a Debian machine:

    apt install python3-torch python3-numpy bible-kjv-text
    /usr/bin/python3 deploy/demo_model/train.py

The steps: text -> vocabulary -> training -> predictors and profile -> GGUF files -> expected.json. A run that is
interrupted goes on from its last checkpoint in --work; `--work` of a finished run can be exported again.
"""

import argparse
import bisect
import copy
import json
import math
import pathlib
import re
import time

import numpy as np
import torch
from torch.nn import functional as F

import corpus
import export
import predictors
import vocabulary
from model import Config, Model
from reference import Reference

FOLDER = pathlib.Path(__file__).resolve().parent
LONG_SHARE = 0.15  # of the steps, at the end, run with the full context
# expected.json keeps the PROMPTS_KEPT prompts whose greedy choices are clearest, so that rounding cannot tip them.
PROMPTS_KEPT = 4
PROMPTS = (
    "In the beginning",
    "And the LORD spake unto Moses, saying,",
    "And it came to pass in those days, that",
    "The LORD is my shepherd",
    "Jesus answered and said unto him,",
    "Now these are the names of the children of Israel,",
    "Blessed is the man that",
    "And the king said unto",
    "Hear, O Israel:",
    "Then said David to",
    "A wise son",
    "Moreover the word of the LORD came unto me, saying,",
)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=pathlib.Path, default=FOLDER.parents[1] / "build" / "demo_model")
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--minutes", type=float, default=30.0, help="a slow machine stops after these, having cooled down")
    parser.add_argument("--batch-tokens", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=2.5e-3)
    parser.add_argument("--weight-decay", type=float, default=0.1)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--firing-share", type=float, default=0.14, help="aim for the share of neurons that fire")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20)
    return parser.parse_args()


class Passages:
    """Chapters as token ids: <s> first verse \\n second verse ... </s>."""

    def __init__(self, chapters, vocab):
        self.n_bytes = sum(len(verse) + 1 for _, verses in chapters for verse in verses)
        self.begin, self.within, self.chapter_end = [], [], []
        newline = vocab.encode("\n", add_space_prefix=False)
        for _, verses in chapters:
            for verse in verses:
                self.begin.append([vocabulary.BOS] + vocab.encode(verse))
                self.within.append(newline + vocab.encode(verse, add_space_prefix=False))
            self.chapter_end.append(len(self.begin))
        self.n_tokens = len(self.in_order())

    def in_order(self):
        """All chapters one after the other."""
        ids, first = [], 0
        for end in self.chapter_end:
            ids += self.begin[first] + sum(self.within[first + 1 : end], []) + [vocabulary.EOS]
            first = end
        return ids

    def sample(self, generator, length):
        """`length` ids from a verse drawn by chance; where a chapter ends, another verse is drawn."""
        ids = []
        while len(ids) < length:
            verse = int(generator.integers(len(self.begin)))
            end = self.chapter_end[bisect.bisect_right(self.chapter_end, verse)]
            ids += self.begin[verse]
            while verse + 1 < end and len(ids) < length:
                verse += 1
                ids += self.within[verse]
            if verse + 1 == end:
                ids.append(vocabulary.EOS)
        return ids[:length]

    def batch(self, generator, rows, length):
        ids = torch.tensor([self.sample(generator, length + 1) for _ in range(rows)])
        return ids[:, :-1], ids[:, 1:]


def held_out_loss(model, passages, n_tokens=None):
    """Mean negative log likelihood per token and per byte of text, in windows of the full context."""
    length = model.config.n_ctx
    ids = torch.tensor(passages.in_order()[:n_tokens])
    starts = range(0, len(ids) - 1, length)
    total, count = 0.0, 0
    model.eval()
    with torch.no_grad():
        for start in starts:
            window = ids[start : start + length + 1]
            logits, _ = model(window[None, :-1])
            total += F.cross_entropy(logits[0], window[1:], reduction="sum").item()
            count += len(window) - 1
    model.train()
    per_token = total / count
    return per_token, per_token * passages.n_tokens / passages.n_bytes


class SparsityControl:
    """Holds the share of firing neurons of each layer near an aim.

    The loss gets strength[layer] * mean(relu(gate)) / std(gate): the division makes the pull independent of the
    scale of the gates, so that the model cannot escape it by making gates small and ups large. Each strength rises
    while its layer fires more than the aim and falls while it fires less.
    """

    EVERY = 4  # one token in so many is looked at

    def __init__(self, n_layer, aim):
        self.aim, self.strength = aim, torch.full((n_layer,), 1e-3)

    def term(self, traces):
        gates = [gate[:, :: self.EVERY].float() for _, gate, _ in traces]
        shares = torch.stack([(g > 0).float().mean() for g in gates]).detach()
        pull = torch.stack([F.relu(g).mean() / g.detach().std() for g in gates])
        term = (self.strength * pull).sum()
        self.strength = (self.strength * torch.exp(0.01 * (shares / self.aim - 1).clamp(-1, 1))).clamp(1e-5, 0.01)
        return term, shares


def learning_rate(options, progress):
    """A short rise, then a cosine; `progress` goes from 0 to 1."""
    rise = 0.03
    if progress < rise:
        return options.learning_rate * (progress / rise + 0.01)
    return options.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))))


def train(options, vocab, training, held_out):
    """Trains, or goes on training, and returns (model, seconds spent)."""
    torch.manual_seed(options.seed)
    model = Model(Config(), options.dropout)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": options.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-9)
    control = SparsityControl(model.config.n_layer, options.firing_share)
    first, spent, checkpoint = 0, 0.0, options.work / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        control.strength, first, spent = state["strength"], state["step"], state["seconds"]
    begin, mean_loss = time.time() - spent, None

    def save(step):
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "strength": control.strength}
        torch.save({**state, "step": step, "seconds": time.time() - begin}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    for step in range(first, options.steps):
        progress = max(step / options.steps, (time.time() - begin) / (60 * options.minutes))
        if progress >= 1:
            break
        length = 512 if progress >= 1 - LONG_SHARE else 256
        generator = np.random.default_rng((options.seed, step))
        ids, targets = training.batch(generator, options.batch_tokens // length, length)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(options, progress)
        logits, traces = model(ids)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        term, shares = control.term(traces)
        optimizer.zero_grad(set_to_none=True)
        (loss + term).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
        if (step + 1) % 50 == 0:
            firing = " ".join(f"{s:.2f}" for s in shares.tolist())
            print(f"step {step + 1} loss {mean_loss:.3f} firing {firing} seconds {time.time() - begin:.0f}", flush=True)
        if (step + 1) % 250 == 0:
            per_token, per_byte = held_out_loss(model, held_out, 10000)
            print(f"held-out loss per token {per_token:.4f} per byte {per_byte:.4f}", flush=True)
            save(step + 1)
    save(options.steps)
    return model.eval(), time.time() - begin


def as_written(model):
    """The model with the weights a reader of the Q8_0 file gets."""
    result = copy.deepcopy(model)
    for parameter in result.parameters():
        if parameter.dim() == 2:
            parameter.data = export.requantized(parameter)
    return result


def write_expected(folder):
    """expected.json: what the reference generates greedily from the files in `folder`."""
    runs = {"plain_dense": (export.PLAIN, "dense"), "powerinfer_dense": (export.SPARSE, "dense"),
            "powerinfer_predicted": (export.SPARSE, "predicted")}  # fmt: skip
    models = {run: Reference(folder / file, mode) for run, (file, mode) in runs.items()}
    cases = []
    for prompt in PROMPTS:
        tokens = models["plain_dense"].encode(prompt)
        case = {"prompt": prompt, "prompt_tokens": tokens}
        for run, model in models.items():
            ids, gaps = model.generate(tokens, 64)
            case[run] = {"tokens": ids, "text": model.vocabulary.decode(ids), "min_gap": round(min(gaps), 4)}
        if vocabulary.EOS not in sum((case[run]["tokens"] for run in runs), []):
            cases.append(case)
    cases.sort(key=lambda case: -min(case[run]["min_gap"] for run in runs))
    files = {run: {"file": file, "sparsity": mode} for run, (file, mode) in runs.items()}
    text = json.dumps({"runs": files, "cases": cases[:PROMPTS_KEPT]}, indent=1)
    (folder / "expected.json").write_text(re.sub(r"(?<=[\d\[,])\s+(?=[\d\]])", " ", text) + "\n")


def main():
    options = parse_arguments()
    options.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    begin = time.time()
    training_chapters, held_out_chapters = corpus.split(corpus.chapters())
    vocab = vocabulary.learn(("\n".join(verses) for _, verses in training_chapters), Config().n_vocab)
    training, held_out = Passages(training_chapters, vocab), Passages(held_out_chapters, vocab)
    print(f"training: {training.n_tokens} tokens of {training.n_bytes} bytes, {len(training_chapters)} chapters; "
          f"held out: {held_out.n_tokens} tokens of {held_out.n_bytes} bytes, {len(held_out_chapters)} chapters")

    model, seconds = train(options, vocab, training, held_out)
    written = as_written(model)
    for name, m in (("as trained", model), ("as Q8_0", written)):
        print("held-out loss {}: {:.4f} per token, {:.4f} per byte".format(name, *held_out_loss(m, held_out)), flush=True)
    print(f"parameters {sum(p.numel() for p in model.parameters())}, training took {seconds:.0f} s")

    pairs = predictors.learn(written.eval(), training, options.seed, export.requantized)
    measures, n_tokens = predictors.measure(written, held_out, pairs)
    for layer, m in enumerate(measures):
        print(f"layer {layer}: firing {m.firing.mean():.4f} kept {m.kept:.4f} recall of mass {m.mass_recall:.4f} "
              f"recall of firing neurons {m.count_recall:.4f}")
    export.write_files(options.out, model, vocab, pairs, measures, n_tokens)
    write_expected(options.out)
    print(f"all took {time.time() - begin:.0f} s in this run")


if __name__ == "__main__":
    main()
