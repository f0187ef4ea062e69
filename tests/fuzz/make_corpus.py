#!/usr/bin/env python3
"""Writes seeds for the fuzz targets: make_corpus.py DIR gives DIR/fuzz_ffn_layer/*, DIR/fuzz_gguf/*,
DIR/fuzz_dequantize/* and DIR/fuzz_tokenizer/*."""

import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
UINT32, FLOAT32, BOOL, STRING, ARRAY, INT32 = 4, 6, 7, 8, 9, 5


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def entry(key, kind, payload):
    return string(key) + struct.pack("<I", kind) + payload


def array(kind, count, payload):
    return struct.pack("<IQ", kind, count) + payload


def tensor(name, sizes, type_number, offset):
    return string(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, type_number, offset)


def gguf(magic, version, entries, tensors, data):
    head = magic + struct.pack("<IQQ", version, len(tensors), len(entries)) + b"".join(entries + tensors)
    return head + bytes(-len(head) % 32) + data


def model_files():
    entries = [
        entry("general.architecture", STRING, string("llama")),
        entry("general.alignment", UINT32, struct.pack("<I", 32)),
        entry("llama.rope.freq_base", FLOAT32, struct.pack("<f", 1e4)),
        entry("tokenizer.ggml.add_bos_token", BOOL, b"\1"),
        entry("tokenizer.ggml.tokens", ARRAY, array(STRING, 3, string("a") + string("") + string("bc"))),
        entry("tokenizer.ggml.token_type", ARRAY, array(INT32, 3, struct.pack("<3i", 1, 2, 3))),
    ]
    tensors = [tensor("output_norm.weight", [4], 0, 0), tensor("blk.0.ffn_up.weight", [32, 2], 2, 32)]
    yield "model", gguf(b"GGUF", 3, entries, tensors, bytes(32 + 36))
    yield "powerinfer", gguf(b"PWRI", 3, entries[:1], tensors[:1], bytes(16))
    yield "version2", gguf(b"GGUF", 2, entries[:2], [], b"")


def block_files():
    fixture = (ROOT / "tests/engine/quant/fixtures/blocks.txt").read_text().splitlines()
    for number, line in enumerate(fixture):
        name, block = line.split()[:2]
        # The first byte chooses the type; all of them see every block.
        yield f"{name}_{number}", bytes([number % 28]) + bytes.fromhex(block) * 2


def layers():
    # Mode, n_embd 64, one block of 96 neurons, activation, its constants, no changed factor, flags, matrices.
    for number in range(64):
        flags = bytes(number >> bit & 1 for bit in range(6)) + b"\0\0"
        head = bytes([number % 3, 2, 1, 3, number % 6]) + struct.pack("<6f", 1.7, 7, 1, 1, 1, 1) + bytes(5)
        kind = number % 28
        matrices = bytes([1, kind, 1, kind, 1, kind, 0, 0, 0, 1, 2, 0])
        yield f"layer_{number}", head + flags + matrices + b"\x3c" * 64


def texts():
    text = "It's the  12345th\ttest~/. Ça va? 今天，好。\r\n\n    <|im_end|>aaaa<u> IMGIMGABZ<sentinel:1>\u3000½é"
    for vocabulary in range(128):  # the first byte chooses the vocabulary, the second the options
        yield f"vocabulary_{vocabulary}", bytes([vocabulary, vocabulary & 15]) + text.encode() + b"\xf0\x9f \xff\xed\xa0\x80"


def main():
    folder = pathlib.Path(sys.argv[1])
    targets = {"ffn_layer": layers(), "gguf": model_files(), "dequantize": block_files(), "tokenizer": texts()}
    for target, files in targets.items():
        target = f"fuzz_{target}"
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / target / name).write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_corpus.py DIR")
    main()
