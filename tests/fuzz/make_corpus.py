#!/usr/bin/env python3
"""Writes seeds for the fuzz targets: make_corpus.py DIR gives DIR/TARGET/* for each of them. Messages are encoded by
protoc (Debian: protobuf-compiler), certificates made by openssl."""

import base64
import hashlib
import pathlib
import ssl
import struct
import subprocess
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


SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def value_end(data, at, kind):
    if kind == STRING:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != ARRAY:
        return at + SCALAR_BYTES[kind]
    of, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if of != STRING:
        return at + count * SCALAR_BYTES[of]
    for _ in range(count):
        at = value_end(data, at, STRING)
    return at


def skeleton(data):
    """The skeleton of a model file: see engine/file/gguf_skeleton.h; scalars are listed too."""
    tensor_count, entry_count = struct.unpack_from("<QQ", data, 8)
    at, entries = 24, []
    for _ in range(entry_count):
        begin = at
        at = value_end(data, at, STRING)
        key = data[begin + 8:at]
        at = value_end(data, at + 4, struct.unpack_from("<I", data, at)[0])
        if not key.startswith(b"tokenizer."):
            entries.append(data[begin:at])
    names, types, shapes = b"", [], []
    for _ in range(tensor_count):
        begin, at = at, value_end(data, at, STRING)
        names += data[begin:at]
        dimensions = struct.unpack_from("<I", data, at)[0]
        sizes = list(struct.unpack_from(f"<{dimensions}Q", data, at + 4))
        shapes += sizes + [1] * (4 - dimensions)
        types.append(struct.unpack_from("<I", data, at + 4 + 8 * dimensions)[0])
        at += 4 + 8 * dimensions + 12
    entries += [
        entry("hearth.skeleton.names", ARRAY, array(STRING, tensor_count, names)),
        entry("hearth.skeleton.types", ARRAY, array(UINT32, tensor_count, struct.pack(f"<{tensor_count}I", *types))),
        entry("hearth.skeleton.shapes", ARRAY, array(10, len(shapes), struct.pack(f"<{len(shapes)}Q", *shapes))),
    ]
    return gguf(data[:4], 3, entries, [], b"")


def skeletons():
    for path in sorted((ROOT / "tests/engine/model/fixtures").glob("*.gguf")):
        for mode in range(3):
            yield f"{path.stem}_{mode}", bytes([mode]) + skeleton(path.read_bytes())


def header(operation, kind, layer, rows, choices, payload):
    return struct.pack("<IHHQQQIIIBBHQ", 0x48545248, 4, operation, 7, 1, 1, layer, rows, choices, kind, 0, 0, payload)


def frames():
    """Sound requests to the plan of fuzz_frame.cc, with an answer behind them."""
    places = struct.pack("<6I", 0, 3, 1, 1, 0, 0)
    sums = header(8, 3, 0, 2, 0, 2 * 64 * 4)
    yield "hello", header(1, 0, 0, 0, 0, 32)
    yield "ping", header(3, 0, 0, 0, 0, 16)
    yield "mix", header(5, 1, 1, 2, 0, 2 * (64 * 4 + 12)) + places + sums
    yield "ffn", header(6, 1, 2, 2, 1, 2 * (64 * 4 + 8)) + struct.pack("<IfIf", 0, 1, 3, 0.5) + sums
    rounded = 2 * (struct.pack("<f", 1.5) + bytes(range(64)))
    yield "rounded", header(6, 4, 2, 2, 1, 2 * (68 + 8)) + bytes(16) + rounded + struct.pack("<IfIf", 0, 1, 3, 0.5) + sums
    yield "output", header(7, 1, 0, 2, 0, 2 * 64 * 4) + bytes(24) + header(9, 1, 0, 2, 0, 2 * 20 * 4)
    yield "stage", header(13, 1, 0, 2, 0, 2 * (64 * 4 + 12)) + places + header(14, 1, 0, 2, 0, 2 * 64 * 4)
    yield "read", header(10, 0, 1, 0, 0, 16) + struct.pack("<4I", 0, 1, 0, 5) + header(12, 0, 1, 0, 0, 5 * 128)
    yield "write", header(11, 0, 1, 0, 0, 16 + 128) + struct.pack("<4I", 0, 1, 0, 1) + header(12, 0, 1, 0, 0, 0)


def client_hello(version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = version
    sent = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="coordinator.hearth")
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()


def callers():
    """What comes to a tensor port; the first byte says whether in clear, instead of a handshake or behind one."""
    hello = header(1, 0, 0, 0, 0, 32) + bytes(range(32))
    for kind in (b"\0", b"\2"):
        yield f"hello_{kind[0]}", kind + hello
        yield f"ping_{kind[0]}", kind + hello + header(3, 0, 0, 0, 0, 16) + bytes(16)
    first = client_hello(ssl.TLSVersion.TLSv1_3)
    yield "client_hello", b"\1" + first
    yield "changed_cipher", b"\1" + first + b"\x14\3\3\0\1\1" + b"\x17\3\3\0\x20" + bytes(32)
    yield "alert", b"\1" + first + b"\x15\3\3\0\2\2\x28"
    yield "older", b"\1" + client_hello(ssl.TLSVersion.TLSv1_2)
    yield "fragments", b"\1" + b"".join(b"\x16\3\1" + struct.pack(">H", len(first[i:i + 9])) + first[i:i + 9]
                                       for i in range(5, len(first), 9))


DESIRED_STATE = """
revision: 5 sync_interval_ms: 250 lost_after_ms: 1200 session_token: "0123456789abcdef0123456789abcdef"
shards {
  epoch: 3 model: "m" model_digest: "sha256:m" skeleton { sha256: "0123456789abcdef0123456789abcdef" bytes: 100 }
  sparsity: SPARSITY_EXACT arithmetic: ARITHMETIC_FAST model_context_length: 512 rope_scaling: "yarn"
  sequences: 4 context_length: 512 max_rows: 64 kv_type: KV_TYPE_F16
  units { device: "cpu" kind: UNIT_KIND_HEADS layer: 1 number: 2
          bundle { sha256: "0123456789abcdef0123456789abcdef" bytes: 64 } }
  units { device: "cpu" kind: UNIT_KIND_LAYER layer: 1 bundle { sha256: "0123456789abcdef0123456789abcdef" bytes: 64 } }
}
"""
WORKER_STATE = """
host: "b" version: "1" tensor_address: "127.0.0.1:1234" revision: 5 host_id: "1" machine: "2" home: "3" problem: "full"
capacity { cores: 2 memory_bytes: 100 memory_free_bytes: 50 disk_free_bytes: 10
           devices { name: "cpu" kind: "cpu" memory_budget_bytes: 80 threads: 2 read_bytes_per_second: 1e10
                     operations_per_second: 1e11 dispatch_us: 3 } }
shards { epoch: 3 model: "m" phase: SHARD_PHASE_READY bytes_done: 1 bytes_total: 2
         devices { device: "cpu" neurons_computed: 1 neurons_offered: 2 bytes_touched: 3 } }
store { fetched_bytes: 1 fetched_bundles: 2 cached_bundles: 3 discarded_bundles: 4 }
"""


def messages():
    for number, (name, text) in enumerate([("DesiredState", DESIRED_STATE), ("WorkerState", WORKER_STATE)]):
        encoded = subprocess.run(["protoc", f"--encode=hearth.v1.{name}", "proto/hearth/v1/worker.proto"], cwd=ROOT,
                                 input=text.encode(), stdout=subprocess.PIPE, check=True)
        yield name, bytes([number]) + encoded.stdout


def http_requests():
    """Bodies of completions, chats, embeddings and responses, and requests as they come over a connection; the first byte tells them apart."""
    bodies = [
        '{"prompt":"x","model":"m","max_tokens":5,"temperature":0.5,"top_p":0.9,"top_k":3,"min_p":0.1,"n":2,"seed":-1}',
        '{"prompt":["x","y"],"stop":["a"],"logit_bias":{"7":-100},"stream":true,"stream_options":{"include_usage":true}}',
        '{"prompt":[1,2],"logprobs":2,"echo":false,"best_of":1,"suffix":"","presence_penalty":1e-3,"ignore_eos":true}',
        '{"prompt":[[1],[2,3]],"frequency_penalty":-1,"repetition_penalty":1.5,"stop":"\\u00e9","user":{"a":[null]}}',
        '{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","tool_calls":[{"function":'
        '{"name":"f","arguments":"{}"}}]}],"tools":[{}],"top_logprobs":2,"logprobs":true,"response_format":{"type":"text"}}',
        '{"input":["a",[1,2]],"encoding_format":"base64","dimensions":3,"pooling":"cls","model":"m"}',
        '{"input":[{"role":"user","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","summary":[]},'
        '{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c",'
        '"output":"x"}],"tools":[{"type":"function","name":"f","parameters":{}}],"tool_choice":{"type":"function","name":"f"},'
        '"text":{"format":{"type":"json_schema","schema":{}}},"instructions":"i","max_output_tokens":3,"include":[]}',
    ]
    for number, body in enumerate(bodies):
        yield f"body_{number}", b"\1" + body.encode()
        yield f"post_{number}", (b"\0POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                                b"Content-Length: %d\r\n\r\n" % len(body)) + body.encode()
    yield "pipelined", b"\0GET /a%20b?c HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\nConnection: close\r\n\r\n"
    yield "chunked", b"\0POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n2;x=y\r\nab\r\n0\r\na: b\r\n\r\n"
    yield "old", b"\0GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"


def texts():
    text = "It's the  12345th\ttest~/. Ça va? 今天，好。\r\n\n    <|im_end|>aaaa<u> IMGIMGABZ<sentinel:1>\u3000½é"
    for vocabulary in range(128):  # the first byte chooses the vocabulary, the second the options
        yield f"vocabulary_{vocabulary}", bytes([vocabulary, vocabulary & 15]) + text.encode() + b"\xf0\x9f \xff\xed\xa0\x80"


def templates():
    """Those of the corpus, and small ones of everything that an expression can have."""
    for path in sorted((ROOT / "tests/engine/jinja/corpus").glob("*.jinja")):
        yield path.stem, path.read_bytes()
    expressions = ["messages[::-1]", "s.split()[0]|upper", "'%s %5.2f' % (s, f)", "'{:>5}{!r}'.format(n, s)", "d|tojson(indent=2)",
                   "messages|selectattr('role', 'equalto', 'user')|map(attribute='content')|join(', ')", "n // 2 % 3 ** 2",
                   "s.replace('a', 'b', 1).center(9, '*')", "1 < n <= 3 and not e or s in 'abc'", "range(5)|batch(2, 'x')|list",
                   "messages|groupby('role')|list", "s|indent(2, true)|title|truncate(3)", "d.k.l ~ (f|round(1)) ~ (s|int(4))"]
    for number, expression in enumerate(expressions):
        yield f"expression_{number}", ("{{ " + expression + " }}").encode()


def grammars():
    yield "json", (b'root ::= object\nobject ::= "{" ws (pair ("," ws pair)*)? "}"\npair ::= string ":" ws (string | object)\n'
                   b'string ::= "\\"" ([^"\\\\] | "\\\\" ["n])* "\\"" ws # text\nws ::= [ \\n\\t]{0,3}\n')
    yield "counts", b'root ::= ("a"{2} | b{1,} | .{0,3})+ "\\u00e4\\x41"?\nb ::= [^a-z\\]] |\n  "(" root ")"'


def schemas():
    yield "object", (b'{"type": "object", "properties": {"a": {"type": "integer", "minimum": -3, "maximum": 120}, "b": '
                     b'{"type": ["string", "null"]}, "c": {"enum": [1, "x", [true]]}}, "required": ["a"], '
                     b'"additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 2}}')
    yield "array", b'{"prefixItems": [{"const": 1}], "items": {"type": "boolean"}, "minItems": 1, "maxItems": 4}'
    yield "tree", (b'{"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [{"type": "null"}, {"allOf": [{"required": ["k"]}, '
                   b'{"properties": {"k": {"$ref": "#/$defs/n"}}}]}]}}}')
    yield "strings", (b'{"oneOf": [{"pattern": "^[a-c\\\\d]{2,3}(x|y)?$"}, {"format": "date-time"}, '
                      b'{"minLength": 1, "maxLength": 3}]}')


def joining():
    fields = [b"1", bytes(16), b"-----BEGIN CERTIFICATE REQUEST-----\n"]
    yield "request", b"\2" + b"".join(struct.pack(">H", len(field)) + field for field in fields)
    yield "answer", b"\2" + b"".join(struct.pack(">H", len(field)) + field for field in [b"0", b"pem", b"7771"])
    yield "commitment", b"\2" + b"".join(struct.pack(">H", len(field)) + field for field in [b"2", bytes(32)])
    yield "reveal", b"\2" + b"".join(struct.pack(">H", len(field)) + field for field in [bytes(32), fields[2]])
    body = b"\2\4\x0a\0\0\1\x1e\x5c\x10" + bytes(16) + b"\x1e\x5c" + bytes(32 + 16)
    code = bytes([1, len(body) + 6]) + body
    code += hashlib.sha256(code).digest()[:4]
    yield "code", b"\0hearth" + base64.b32encode(code).rstrip(b"=")
    yield "checked_code", b"\7" + body
    yield "name", b"\x09study \xc3\xa4"
    for name, first, more in (("signing_request", b"\3", []), ("certificate", b"\4", ["-x509"])):
        command = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
                   "/dev/null", "-subj", "/CN=study", *more, "-outform"]
        for form, kind in (("PEM", first), ("DER", b"\x08")):
            made = subprocess.run([*command, form], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
            yield f"{name}_{form}", kind + made.stdout


def dns_messages():
    service = b"\7_hearth\4_tcp\5local\0"
    yield "question", struct.pack(">6H", 0, 0, 1, 0, 0, 0) + service + struct.pack(">HH", 12, 0x8001)
    records = [(service, 12, b"\1a\xc0\x0c"), (b"\1a\xc0\x0c", 33, struct.pack(">3H", 0, 0, 7772) + b"\1h\xc0\x19"),
               (b"\1a\xc0\x0c", 16, b"\x0chome=ABCDEFG\6host=a"), (b"\1h\xc0\x19", 1, bytes([10, 0, 0, 1])),
               (b"\1h\xc0\x19", 28, bytes(16))]
    yield "answer", struct.pack(">6H", 0, 0x8400, 0, 1, 0, 4) + b"".join(
        name + struct.pack(">HHIH", kind, 1, 120, len(data)) + data for name, kind, data in records)


def main():
    folder = pathlib.Path(sys.argv[1])
    targets = {"ffn_layer": layers(), "gguf": model_files(), "dequantize": block_files(), "tokenizer": texts(),
               "gbnf": grammars(), "json_schema": schemas(), "skeleton": skeletons(), "jinja": templates(),
               "frame": frames(), "lobby": callers(), "plan_messages": messages(), "http": http_requests(), "joining": joining(),
               "discovery": dns_messages()}
    for target, files in targets.items():
        target = f"fuzz_{target}"
        (folder / target).mkdir(parents=True, exist_ok=True)
        for name, content in files:
            (folder / target / name).write_bytes(content)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_corpus.py DIR")
    main()
