"""Writes GGUF files (version 3): metadata and tensors of type F32, F16, Q4_0 and Q8_0.

    with GgufWriter("tiny.gguf") as writer:
        writer.add_string("general.architecture", "llama")
        writer.add_uint32("llama.block_count", 1)
        writer.add_array("tokenizer.ggml.scores", ValueType.FLOAT32, [0.0, -1.0])
        writer.add_tensor("output_norm.weight", numpy.ones(32), TensorType.F32)

Layout: magic, version u32, number of tensors u64, number of values u64, the values, the tensor descriptions, padding,
the tensors' data, each tensor at a multiple of the alignment. Everything is little-endian. A tensor's dimensions are
written fastest-varying first, so a numpy array (rows, columns) becomes {ne0 = columns, ne1 = rows}.

Nothing is written before close(). The writer does not judge keys or shapes beyond what the encoding needs: tests make
ill-formed files with it, by add_raw_value and add_raw_tensor.
"""

import enum
import struct

import numpy as np

BLOCK = 32  # weights that share one scale in Q4_0 and Q8_0


class ValueType(enum.IntEnum):
    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


class TensorType(enum.IntEnum):
    F32 = 0
    F16 = 1
    Q4_0 = 2
    Q8_0 = 8


_FORMAT = {
    ValueType.UINT8: "B", ValueType.INT8: "b", ValueType.UINT16: "H", ValueType.INT16: "h", ValueType.UINT32: "I",
    ValueType.INT32: "i", ValueType.FLOAT32: "f", ValueType.BOOL: "?", ValueType.UINT64: "Q", ValueType.INT64: "q",
    ValueType.FLOAT64: "d",
}  # fmt: skip


def encode_string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def encode_value(value_type, value):
    """The bytes of one value, without its type. An array is a pair (element type, elements)."""
    if value_type == ValueType.STRING:
        return encode_string(value)
    if value_type == ValueType.ARRAY:
        element_type, elements = value
        header = struct.pack("<IQ", element_type, len(elements))
        return header + b"".join(encode_value(element_type, element) for element in elements)
    return struct.pack("<" + _FORMAT[value_type], value)


def _round_half_away(x):
    # In double precision the addition of a half is exact, so this is C's roundf for every float32.
    x = x.astype(np.float64)
    return np.trunc(x + np.copysign(0.5, x))


def quantize_q8_0(x):
    """Blocks of 32: d (f16) and 32 int8, x ~ d q. The quotient uses d before its rounding to f16, as ggml does."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, BLOCK)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    out = np.empty(len(blocks), np.dtype([("d", "<f2"), ("q", "i1", BLOCK)]))
    out["d"] = d[:, 0].astype(np.float16)
    out["q"] = _round_half_away(blocks * inverse).astype(np.int8)
    return out.tobytes()


def quantize_q4_0(x):
    """Blocks of 32: d (f16) and 16 bytes, x ~ d (q - 8); byte j holds weight j (low) and weight j + 16 (high).

    The weight of greatest magnitude becomes q = 0, as in ggml.
    """
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, BLOCK)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1)[:, None], axis=1)
    d = extreme / np.float32(-8)
    inverse = np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)
    q = np.clip(np.trunc(blocks * inverse + np.float32(8.5)), 0, 15).astype(np.uint8)
    out = np.empty(len(blocks), np.dtype([("d", "<f2"), ("q", "u1", BLOCK // 2)]))
    out["d"] = d[:, 0].astype(np.float16)
    out["q"] = q[:, : BLOCK // 2] | (q[:, BLOCK // 2 :] << 4)
    return out.tobytes()


def encode_tensor(array, tensor_type):
    """The bytes of `array` in `tensor_type`; the last dimension of a quantised one must be a multiple of 32."""
    array = np.asarray(array, np.float32)
    if tensor_type == TensorType.F32:
        return array.astype("<f4").tobytes()
    if tensor_type == TensorType.F16:
        return array.astype("<f2").tobytes()
    if array.shape[-1] % BLOCK:
        raise ValueError(f"rows of {array.shape[-1]} weights are no multiple of {BLOCK}")
    return quantize_q8_0(array) if tensor_type == TensorType.Q8_0 else quantize_q4_0(array)


class GgufWriter:
    """Collects metadata and tensors; close() writes the file. Not thread-safe."""

    def __init__(self, path_or_file, magic=b"GGUF", version=3, alignment=32):
        """`path_or_file` is a path, or a binary file object, which stays open. Magic of PowerInfer files: b"PWRI"."""
        self._destination, self._magic, self._version, self._alignment = path_or_file, magic, version, alignment
        self._values, self._tensors = [], []
        if alignment != 32:
            self.add_uint32("general.alignment", alignment)

    def __enter__(self):
        return self

    def __exit__(self, exception_type, exception, traceback):
        if exception_type is None:
            self.close()

    def add_uint32(self, key, value):
        self.add_value(key, ValueType.UINT32, value)

    def add_uint64(self, key, value):
        self.add_value(key, ValueType.UINT64, value)

    def add_int32(self, key, value):
        self.add_value(key, ValueType.INT32, value)

    def add_float32(self, key, value):
        self.add_value(key, ValueType.FLOAT32, value)

    def add_bool(self, key, value):
        self.add_value(key, ValueType.BOOL, value)

    def add_string(self, key, value):
        self.add_value(key, ValueType.STRING, value)

    def add_array(self, key, element_type, elements):
        self.add_value(key, ValueType.ARRAY, (element_type, elements))

    def add_value(self, key, value_type, value):
        self.add_raw_value(key, value_type, encode_value(value_type, value))

    def add_raw_value(self, key, value_type, data):
        """A value whose bytes are given as they shall stand in the file."""
        self._values.append(encode_string(key) + struct.pack("<I", value_type) + data)

    def add_tensor(self, name, array, tensor_type):
        """`array` float, row-major."""
        array = np.asarray(array)
        self.add_raw_tensor(name, array.shape[::-1], tensor_type, encode_tensor(array, tensor_type))

    def add_raw_tensor(self, name, dimensions, tensor_type, data, offset=None):
        """A tensor with given dimensions (ne0 first), type number and bytes; `offset` overrides the right one."""
        self._tensors.append((name, tuple(dimensions), int(tensor_type), data, offset))

    def close(self):
        """Writes the file."""
        if hasattr(self._destination, "write"):
            self._write(self._destination)
        else:
            with open(self._destination, "wb") as file:
                self._write(file)

    def _padded(self, data):
        return data + bytes(-len(data) % self._alignment)

    def _write(self, file):
        head = [self._magic, struct.pack("<IQQ", self._version, len(self._tensors), len(self._values)), *self._values]
        body, position = [], 0
        for name, dimensions, tensor_type, data, offset in self._tensors:
            head.append(encode_string(name) + struct.pack(f"<I{len(dimensions)}Q", len(dimensions), *dimensions))
            head.append(struct.pack("<IQ", tensor_type, position if offset is None else offset))
            body.append(self._padded(data))
            position += len(body[-1])
        file.write(self._padded(b"".join(head)))
        file.write(b"".join(body))
