"""Model files for tests of chats: the demo model, which has no chat template, with one."""

import struct

SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY, ALIGNMENT = 8, 9, 32


def string(text):
    return struct.pack("<Q", len(text.encode())) + text.encode()


def value_end(data, at, kind):
    """Where the value of a kind ends that begins at `at` of a model file."""
    if kind == STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != ARRAY:
        return at + SCALARS[kind]
    of, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if of != STRING:
        return at + count * SCALARS[of]
    for _ in range(count):
        at = value_end(data, at, STRING)
    return at


def entries_end(data, entries):
    """Where the `entries` of a model file's metadata end."""
    at = 24
    for _ in range(entries):
        at = value_end(data, at, STRING)
        at = value_end(data, at + 4, struct.unpack_from("<I", data, at)[0])
    return at


def with_chat_template(data, template):
    """The model file `data` with one entry more in its header."""
    magic, version, tensors, entries = struct.unpack_from("<4sIQQ", data, 0)
    end = at = entries_end(data, entries)
    for _ in range(tensors):
        end = value_end(data, end, STRING)
        end += 4 + 8 * struct.unpack_from("<I", data, end)[0] + 12
    entry = string("tokenizer.chat_template") + struct.pack("<I", STRING) + string(template)
    header = struct.pack("<4sIQQ", magic, version, tensors, entries + 1) + data[24:at] + entry + data[at:end]
    return header + bytes(-len(header) % ALIGNMENT) + data[end + -end % ALIGNMENT:]
