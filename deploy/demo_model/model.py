"""The demo model in PyTorch, for training: a Llama whose feed-forward gate is a ReLU.

Products run in bfloat16 (fast on CPUs that have instructions for it), everything else and the weights in float32.
"""

import dataclasses

import torch
from torch import nn
from torch.nn import functional as F


@dataclasses.dataclass(frozen=True)
class Config:
    n_vocab: int = 2048
    n_embd: int = 192
    n_layer: int = 5
    n_head: int = 6
    n_head_kv: int = 3
    n_ff: int = 768
    n_ctx: int = 512
    rope_base: float = 10000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self):
        return self.n_embd // self.n_head


def product(x, weight):
    """x (..., n_in) times weight (n_out, n_in), in bfloat16, returned as bfloat16."""
    return F.linear(x.bfloat16(), weight.bfloat16())


class Dropout:
    """Dropout that draws its masks as slices of one pool: on a CPU, drawing bits costs as much as a matrix product."""

    POOL = 1 << 23

    def __init__(self, share):
        self.share = share
        self.pool = (torch.rand(self.POOL) >= share).float() / (1 - share)

    def __call__(self, x):
        begin = int(torch.randint(self.POOL - x.numel(), ()))
        return x * self.pool[begin : begin + x.numel()].view_as(x)


class Norm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.eps = config.norm_eps
        self.weight = nn.Parameter(torch.ones(config.n_embd))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


class Matrix(nn.Module):
    def __init__(self, n_in, n_out, std):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) * std)

    def forward(self, x):
        return product(x, self.weight)


def rope_tables(config, n_tokens):
    """cos and sin, (n_tokens, head_dim / 2): position times base^(-2 i / head_dim)."""
    frequency = config.rope_base ** (-torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    angle = torch.arange(n_tokens).float()[:, None] * frequency
    return angle.cos(), angle.sin()


def rope(x, cos, sin):
    """Rotates the pairs (2i, 2i+1) of x (batch, heads, tokens, head_dim)."""
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2)


class Layer(nn.Module):
    def __init__(self, config, dropout):
        super().__init__()
        self.config, self.dropout = config, dropout
        std, n_kv = 0.02, config.n_head_kv * config.head_dim
        std_out = std / (2 * config.n_layer) ** 0.5
        self.attn_norm = Norm(config)
        self.attn_q = Matrix(config.n_embd, config.n_embd, 2 * std)
        self.attn_k = Matrix(config.n_embd, n_kv, 2 * std)
        self.attn_v = Matrix(config.n_embd, n_kv, 2 * std)
        self.attn_output = Matrix(config.n_embd, config.n_embd, 2 * std_out)
        self.ffn_norm = Norm(config)
        self.ffn_gate = Matrix(config.n_embd, config.n_ff, 2 * std)
        self.ffn_up = Matrix(config.n_embd, config.n_ff, 2 * std)
        self.ffn_down = Matrix(config.n_ff, config.n_embd, 2 * std_out)

    def attention(self, x, cos, sin, mask):
        c, (batch, tokens, _) = self.config, x.shape
        x = x.bfloat16()
        q, k, v = (
            m(x).view(batch, tokens, -1, c.head_dim).transpose(1, 2) for m in (self.attn_q, self.attn_k, self.attn_v)
        )
        q, k = rope(q.float(), cos, sin) * c.head_dim**-0.5, rope(k.float(), cos, sin)
        repeat = c.n_head // c.n_head_kv
        # Query head h reads KV head h // repeat: the queries of one KV head are stacked along the token axis.
        q = q.reshape(batch, c.n_head_kv, repeat * tokens, c.head_dim)
        score = (q.bfloat16() @ k.bfloat16().transpose(2, 3)).view(batch, c.n_head_kv, repeat, tokens, tokens)
        share = torch.softmax(score + mask, -1).view(batch, c.n_head_kv, repeat * tokens, tokens)
        mixed = (share @ v).view(batch, c.n_head, tokens, c.head_dim)
        return self.attn_output(mixed.transpose(1, 2).reshape(batch, tokens, c.n_embd))

    def forward(self, x, cos, sin, mask):
        """Returns (x after the layer, residual before the FFN norm, gate before the ReLU, hidden)."""
        drop = self.dropout if self.training else lambda y: y
        x = x + drop(self.attention(self.attn_norm(x), cos, sin, mask).float())
        before_ffn, normed = x, self.ffn_norm(x).bfloat16()
        gate = self.ffn_gate(normed)
        hidden = F.relu(gate) * self.ffn_up(normed)
        return x + drop(self.ffn_down(hidden).float()), before_ffn, gate, hidden


class Model(nn.Module):
    def __init__(self, config, dropout_share):
        super().__init__()
        self.config, self.dropout = config, Dropout(dropout_share)
        self.token_embd = nn.Parameter(torch.randn(config.n_vocab, config.n_embd) * 0.02)
        self.blk = nn.ModuleList(Layer(config, self.dropout) for _ in range(config.n_layer))
        self.output_norm = Norm(config)

    def forward(self, ids):
        """ids (batch, tokens) -> (logits, [(before_ffn, gate, hidden) per layer])."""
        tokens = ids.shape[1]
        cos, sin = rope_tables(self.config, tokens)
        mask = torch.full((tokens, tokens), -float("inf")).triu(1).bfloat16()
        x = F.embedding(ids, self.token_embd)
        x = self.dropout(x) if self.training else x
        traces = []
        for layer in self.blk:
            x, *trace = layer(x, cos, sin, mask)
            traces.append(trace)
        return product(self.output_norm(x), self.token_embd).float(), traces
