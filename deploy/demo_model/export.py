"""Writes the trained model as GGUF: a plain file, and one in PowerInfer's layout with predictors."""

import numpy as np
import torch

import predictors
import vocabulary
from gguf_writer import GgufWriter, TensorType, ValueType, quantize_q8_0

PLAIN, SPARSE = "hearth-demo-q8_0.gguf", "hearth-demo-q8_0.powerinfer.gguf"
_MOSTLY_Q8_0 = 7
_MATRICES = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up")


def requantized(matrix):
    """What a reader gets back of a matrix that is written as Q8_0; a float32 tensor."""
    matrix = matrix.detach().numpy()
    blocks = np.frombuffer(quantize_q8_0(matrix), np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    return torch.tensor((blocks["d"].astype(np.float32)[:, None] * blocks["q"]).reshape(matrix.shape))


def _add_model(writer, config):
    writer.add_string("general.architecture", "llama")
    writer.add_string("general.name", "Hearth demo")
    writer.add_string("general.license", "apache-2.0")
    writer.add_uint32("general.file_type", _MOSTLY_Q8_0)
    writer.add_uint32("general.quantization_version", 2)
    writer.add_uint32("llama.vocab_size", config.n_vocab)
    writer.add_uint32("llama.context_length", config.n_ctx)
    writer.add_uint32("llama.embedding_length", config.n_embd)
    writer.add_uint32("llama.block_count", config.n_layer)
    writer.add_uint32("llama.feed_forward_length", config.n_ff)
    writer.add_uint32("llama.attention.head_count", config.n_head)
    writer.add_uint32("llama.attention.head_count_kv", config.n_head_kv)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.norm_eps)
    writer.add_uint32("llama.rope.dimension_count", config.head_dim)
    writer.add_float32("llama.rope.freq_base", config.rope_base)
    writer.add_string("hearth.ffn_activation", "relu")


def _add_vocabulary(writer, vocab):
    writer.add_string("tokenizer.ggml.model", "llama")
    writer.add_array("tokenizer.ggml.tokens", ValueType.STRING, vocab.tokens)
    writer.add_array("tokenizer.ggml.scores", ValueType.FLOAT32, vocab.scores)
    writer.add_array("tokenizer.ggml.token_type", ValueType.INT32, vocab.types)
    writer.add_uint32("tokenizer.ggml.bos_token_id", vocabulary.BOS)
    writer.add_uint32("tokenizer.ggml.eos_token_id", vocabulary.EOS)
    writer.add_uint32("tokenizer.ggml.unknown_token_id", vocabulary.UNK)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_bool("tokenizer.ggml.add_eos_token", False)
    writer.add_bool("tokenizer.ggml.add_space_prefix", True)


def _add_profile(writer, measures, n_tokens):
    writer.add_uint32("hearth.profile.tokens", n_tokens)
    for layer, measure in enumerate(measures):
        writer.add_array(f"hearth.profile.{layer}", ValueType.FLOAT32, measure.firing.tolist())


def _add_tensors(writer, model, pairs):
    """With `pairs` in PowerInfer's layout: down by neuron, fc1 and fc2; otherwise as llama.cpp has them."""
    add = lambda name, tensor, kind: writer.add_tensor(name + ".weight", tensor.detach().numpy(), kind)
    add("token_embd", model.token_embd, TensorType.Q8_0)
    for index, layer in enumerate(model.blk):
        block = f"blk.{index}."
        add(block + "attn_norm", layer.attn_norm.weight, TensorType.F32)
        add(block + "ffn_norm", layer.ffn_norm.weight, TensorType.F32)
        for name in _MATRICES:
            add(block + name, getattr(layer, name).weight, TensorType.Q8_0)
        if pairs is None:
            add(block + "ffn_down", layer.ffn_down.weight, TensorType.Q8_0)
        else:
            add(block + "ffn_down_t", layer.ffn_down.weight.T, TensorType.Q8_0)
            add(block + "fc1", torch.tensor(pairs[index][0]), TensorType.Q8_0)
            add(block + "fc2", torch.tensor(pairs[index][1]), TensorType.Q8_0)
    add("output_norm", model.output_norm.weight, TensorType.F32)


def write_files(folder, model, vocab, pairs, measures, n_tokens):
    """`model` has the weights as trained: quantising dequantised ones again would lose a little more."""
    for name, magic, predictor_pairs in ((PLAIN, b"GGUF", None), (SPARSE, b"PWRI", pairs)):
        with GgufWriter(folder / name, magic) as writer:
            _add_model(writer, model.config)
            _add_vocabulary(writer, vocab)
            _add_profile(writer, measures, n_tokens)
            if predictor_pairs is not None:
                writer.add_float32("powerinfer.sparse_threshold", predictors.THRESHOLD)
            _add_tensors(writer, model, predictor_pairs)
