#!/usr/bin/python3
"""The forward pass of a ReLU-gated Llama in numpy float32, from a GGUF file: an oracle for the engine, not fast.

    reference.py hearth-demo-q8_0.gguf --prompt "In the beginning" -n 64
    reference.py hearth-demo-q8_0.powerinfer.gguf --mode predicted --tokens 1,2,3 -n 16 --json

Modes of the feed-forward part, where normed = ffn_norm(residual):
  dense      hidden = relu(gate normed) * (up normed) for every neuron
  exact      the same, but up and down only for neurons whose gate fires
  predicted  only neurons with fc2 relu(fc1 residual) >= powerinfer.sparse_threshold are looked at; the rest count as
             silent (fc1 and fc2 see the residual before the norm)
Weights are dequantised, activations stay float32.
"""

import argparse
import json
import struct
import sys

import numpy as np

from vocabulary import Vocabulary

_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_STRING, _ARRAY = 8, 9


class Gguf:
    """A GGUF file: `magic`, `metadata` (key -> value), `tensors` (name -> float32 array, rows first)."""

    def __init__(self, path):
        self._data, self._at = open(path, "rb").read(), 4
        self.magic = self._data[:4]
        _, n_tensors, n_values = self._take("<IQQ")
        self.metadata = {}
        for _ in range(n_values):
            key = self._string()
            self.metadata[key] = self._value(*self._take("<I"))
        infos = []
        for _ in range(n_tensors):
            name, (n_dims,) = self._string(), self._take("<I")
            infos.append((name, self._take(f"<{n_dims}Q")[::-1], *self._take("<IQ")))
        alignment = self.metadata.get("general.alignment", 32)
        self._base = -(-self._at // alignment) * alignment
        self.tensors = {name: self._tensor(shape, kind, offset) for name, shape, kind, offset in infos}

    def _take(self, form):
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _string(self):
        (length,) = self._take("<Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _value(self, kind):
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            element, count = self._take("<IQ")
            return [self._value(element) for _ in range(count)]
        return self._take(_SCALARS[kind])[0]

    def _tensor(self, shape, kind, offset):
        count, begin = int(np.prod(shape)), self._base + offset
        if kind == 0:
            return np.frombuffer(self._data, "<f4", count, begin).reshape(shape)
        if kind == 1:
            return np.frombuffer(self._data, "<f2", count, begin).astype(np.float32).reshape(shape)
        if kind == 2:
            blocks = np.frombuffer(self._data, np.dtype([("d", "<f2"), ("q", "u1", 16)]), count // 32, begin)
            q = np.concatenate([blocks["q"] & 15, blocks["q"] >> 4], axis=1).astype(np.float32) - 8
        elif kind == 8:
            blocks = np.frombuffer(self._data, np.dtype([("d", "<f2"), ("q", "i1", 32)]), count // 32, begin)
            q = blocks["q"].astype(np.float32)
        else:
            raise ValueError(f"tensor type {kind} is not supported here")
        return (blocks["d"].astype(np.float32)[:, None] * q).reshape(shape)


class Reference:
    def __init__(self, path, mode="dense"):
        file = Gguf(path)
        get = lambda key: file.metadata["llama." + key]
        self.n_layer, self.n_embd = get("block_count"), get("embedding_length")
        self.n_head, self.n_head_kv = get("attention.head_count"), get("attention.head_count_kv")
        self.head_dim, self.rope_base = get("rope.dimension_count"), get("rope.freq_base")
        self.eps = np.float32(get("attention.layer_norm_rms_epsilon"))
        self.threshold = file.metadata.get("powerinfer.sparse_threshold")
        self.weights, self.metadata, self.mode = file.tensors, file.metadata, mode
        if file.metadata.get("hearth.ffn_activation") != "relu":
            raise ValueError(f"{path}: the gate is not a ReLU")
        if mode == "predicted" and "blk.0.fc1.weight" not in file.tensors:
            raise ValueError(f"{path}: has no predictors")
        tokenizer = (file.metadata["tokenizer.ggml." + key] for key in ("tokens", "scores", "token_type"))
        self.vocabulary = Vocabulary(*tokenizer)
        self.reset()

    def reset(self):
        """Forgets the context."""
        self._keys = [np.zeros((0, self.n_head_kv, self.head_dim), np.float32)] * self.n_layer
        self._values = list(self._keys)
        self.kept = self.seen = 0  # neurons computed and neurons there were, over all tokens

    def forward(self, tokens):
        """Appends `tokens` to the context; returns their logits (tokens, n_vocab)."""
        x = self.weights["token_embd.weight"][np.asarray(tokens)]
        for layer in range(self.n_layer):
            x = x + self._attention(layer, self._norm(x, f"blk.{layer}.attn_norm"))
            x = x + self._feed_forward(layer, x)
        output = self.weights.get("output.weight", self.weights["token_embd.weight"])
        return self._norm(x, "output_norm") @ output.T

    def _norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[name + ".weight"]

    def _matrix(self, layer, name):
        return self.weights[f"blk.{layer}.{name}.weight"]

    def _rope(self, x, first):
        """Rotates the pairs (2i, 2i+1) of x (tokens, heads, head_dim), the first token being at position `first`."""
        frequency = self.rope_base ** (-np.arange(0, self.head_dim, 2) / self.head_dim)
        angle = (first + np.arange(len(x)))[:, None, None] * frequency
        cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        out = np.empty_like(x)
        out[..., 0::2] = x[..., 0::2] * cos - x[..., 1::2] * sin
        out[..., 1::2] = x[..., 0::2] * sin + x[..., 1::2] * cos
        return out

    def _attention(self, layer, x):
        first, n_tokens = len(self._keys[layer]), len(x)
        heads = lambda name: (x @ self._matrix(layer, name).T).reshape(n_tokens, -1, self.head_dim)
        q, k = self._rope(heads("attn_q"), first), self._rope(heads("attn_k"), first)
        self._keys[layer] = np.concatenate([self._keys[layer], k])
        self._values[layer] = np.concatenate([self._values[layer], heads("attn_v")])
        visible = np.arange(first + n_tokens) <= first + np.arange(n_tokens)[:, None]
        out = np.empty_like(q)
        for head in range(self.n_head):
            kv = head // (self.n_head // self.n_head_kv)
            score = q[:, head] @ self._keys[layer][:, kv].T / np.float32(np.sqrt(self.head_dim))
            score = np.where(visible, score, np.float32(-np.inf))
            share = np.exp(score - score.max(-1, keepdims=True))
            out[:, head] = share / share.sum(-1, keepdims=True) @ self._values[layer][:, kv]
        return out.reshape(n_tokens, -1) @ self._matrix(layer, "attn_output").T

    def predicted(self, layer, residual):
        """(tokens, n_ff): True for the neurons the predictor keeps."""
        inner = np.maximum(residual @ self._matrix(layer, "fc1").T, 0)
        return inner @ self._matrix(layer, "fc2").T >= np.float32(self.threshold)

    def gate(self, layer, residual):
        return self._norm(residual, f"blk.{layer}.ffn_norm") @ self._matrix(layer, "ffn_gate").T

    def _feed_forward(self, layer, residual):
        fires = np.maximum(self.gate(layer, residual), 0)
        keep = np.ones_like(fires, bool)
        if self.mode == "exact":
            keep = fires > 0
        elif self.mode == "predicted":
            keep = self.predicted(layer, residual)
        self.kept, self.seen = self.kept + int(keep.sum()), self.seen + keep.size
        hidden = np.where(keep, fires, 0) * (self._norm(residual, f"blk.{layer}.ffn_norm") @ self._matrix(layer, "ffn_up").T)
        by_neuron = f"blk.{layer}.ffn_down_t.weight"
        return hidden @ (self.weights[by_neuron] if by_neuron in self.weights else self._matrix(layer, "ffn_down").T)

    def generate(self, tokens, count, temperature=0.0, seed=0, stop_at_eos=False):
        """Returns (ids, gaps): the continuation, and by how much each greedy choice beat the second best logit."""
        self.reset()
        generator, ids, gaps = np.random.default_rng(seed), [], []
        logits = self.forward(tokens)[-1]
        while True:
            second, best = np.argsort(logits)[-2:]
            gaps.append(float(logits[best] - logits[second]))
            if temperature > 0:
                weight = np.exp((logits - logits[best]).astype(np.float64) / temperature)
                best = generator.choice(len(logits), p=weight / weight.sum())
            ids.append(int(best))
            if len(ids) == count or (stop_at_eos and best == self.metadata["tokenizer.ggml.eos_token_id"]):
                return ids, gaps
            logits = self.forward([best])[-1]

    def encode(self, text):
        bos = self.metadata["tokenizer.ggml.bos_token_id"]
        return [bos] * self.metadata["tokenizer.ggml.add_bos_token"] + self.vocabulary.encode(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--mode", choices=["dense", "exact", "predicted"], default="dense")
    parser.add_argument("--prompt", default="In the beginning")
    parser.add_argument("--tokens", help="ids joined by commas, instead of --prompt")
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logits", help="writes the logits of the prompt, float32 (tokens, n_vocab), to this .npy file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        model = Reference(options.model, options.mode)
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"reference.py: {error}")
    prompt = [int(i) for i in options.tokens.split(",")] if options.tokens else model.encode(options.prompt)
    if options.logits:
        np.save(options.logits, model.forward(prompt))
    ids, gaps = model.generate(prompt, options.n, options.temperature, options.seed)
    text, kept = model.vocabulary.decode(ids), model.kept / model.seen
    if options.json:
        print(json.dumps({"prompt": prompt, "tokens": ids, "text": text, "min_gap": min(gaps), "kept": kept}))
    else:
        print(f"prompt {prompt}\ntokens {ids}\nleast gap {min(gaps):.4f}, neurons computed {kept:.3f}\n{text}")


if __name__ == "__main__":
    main()
