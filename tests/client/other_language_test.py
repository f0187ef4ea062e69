#!/usr/bin/python3
"""Drives a real hearthd from Python through the proto files alone.

    other_language_test.py --hearthd PATH --hearth PATH --protoc PATH --grpc-python-plugin PATH

Messages and stubs are compiled from proto/hearth/v1 when the test starts, as the README says. Skipped (exit code 77) where python3-grpcio or python3-protobuf is missing.
"""

import argparse
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

try:
    import google.protobuf  # noqa: F401
    import grpc
except ImportError as error:
    print(f"skipped: {error}; install python3-grpcio and python3-protobuf")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
EXPECTED = ROOT / "deploy" / "demo_model" / "expected.json"
PROTOS = sorted(path.stem for path in (ROOT / "proto" / "hearth" / "v1").glob("*.proto"))
ARGUMENTS = None


def compile_protos(folder):
    """The modules of messages and of stubs: {"generation": (generation_pb2, generation_pb2_grpc), ...}."""
    files = [f"proto/hearth/v1/{name}.proto" for name in PROTOS]
    subprocess.run([ARGUMENTS.protoc, "-I", ROOT, f"--python_out={folder}", f"--grpc_python_out={folder}",
                    f"--plugin=protoc-gen-grpc_python={ARGUMENTS.grpc_python_plugin}", *files], check=True)
    sys.path.insert(0, folder)
    return {name: tuple(importlib.import_module(f"proto.hearth.v1.{name}_pb2{kind}") for kind in ("", "_grpc"))
            for name in PROTOS}


class Daemon:
    """A hearthd on a free port. It says on stdout when it is ready; nothing has to be waited for."""

    def __init__(self, folder, *arguments):
        self.process = subprocess.Popen(
            [ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--http", "off", "--name", "python-test", "--state-dir", folder,
             "--log-level", "warning", *arguments],
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("hearthd ready on "):
            raise RuntimeError(f"hearthd did not start: {line!r}")
        self.address = line.split()[-1]

    def stop(self):
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        self.process.stdout.close()
        return code


class OtherLanguageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        compiled = compile_protos(cls.folder.name)
        cls.generation, cls.models, cls.cluster = (compiled[name][0] for name in ("generation", "models", "cluster"))
        cls.daemon = Daemon(cls.folder.name + "/state", "--context", "512", "--slots", "4", "--threads", "2")
        cls.channel = grpc.insecure_channel(cls.daemon.address)
        cls.stubs = {"Generation": compiled["generation"][1].GenerationStub(cls.channel),
                     "Models": compiled["models"][1].ModelsStub(cls.channel),
                     "Cluster": compiled["cluster"][1].ClusterStub(cls.channel)}
        # The stream of progress ends when the model is ready.
        cls.progress = list(cls.call("Models/Load", cls.models.LoadModelRequest(path=str(MODEL), name="demo")))

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        code = cls.daemon.stop()
        cls.folder.cleanup()
        if code != 0:
            raise RuntimeError(f"hearthd exited with {code} after SIGTERM")

    @classmethod
    def call(cls, method, request, **options):
        """Calls "SERVICE/METHOD" through its stub."""
        service, name = method.split("/")
        return getattr(cls.stubs[service], name)(request, **options)

    def request(self, text="In the beginning", **fields):
        request = self.generation.GenerateRequest(text=text, **fields)
        request.sampling.temperature = 0
        return request

    def generate(self, request, **options):
        return self.call("Generation/Generate", request, **options)

    def read(self, request):
        """(started, text, tokens, finished) of a whole stream."""
        events = list(self.generate(request))
        self.assertEqual(events[0].WhichOneof("event"), "started")
        self.assertEqual(events[-1].WhichOneof("event"), "finished")
        deltas = [event.delta for event in events[1:-1]]
        text = "".join(delta.text for delta in deltas)
        tokens = [token for delta in deltas for token in delta.tokens]
        return events[0].started, text, tokens, events[-1].finished

    def assert_refused(self, code, part, method, *arguments, **options):
        with self.assertRaises(grpc.RpcError) as refusal:
            list(method(*arguments, **options))
        self.assertEqual(refusal.exception.code(), code)
        self.assertIn(part, refusal.exception.details())

    def test_loading_showed_progress_and_ended_ready(self):
        last = self.progress[-1]
        self.assertEqual(last.state, self.models.MODEL_STATE_READY)
        self.assertEqual(last.name, "demo")
        self.assertEqual(last.architecture, "llama")
        self.assertTrue(last.digest.startswith("sha256:"))
        self.assertEqual(last.vocabulary_size, 2048)

    def test_generates_the_reference_text(self):
        for case in json.loads(EXPECTED.read_text())["cases"]:
            expected = case["plain_dense"]
            started, text, tokens, finished = self.read(
                self.request(case["prompt"], max_tokens=len(expected["tokens"])))
            self.assertEqual(tokens, expected["tokens"])
            self.assertEqual(text.strip(), expected["text"].strip())
            self.assertEqual(started.prompt_tokens, len(case["prompt_tokens"]))
            self.assertEqual(finished.reason, self.generation.FINISH_REASON_LENGTH)
            self.assertEqual(finished.usage.generated_tokens, len(tokens))

    def test_seed_makes_a_draw_repeatable(self):
        request = self.request(max_tokens=20)
        request.sampling.temperature = 1
        started, text, _, _ = self.read(request)
        request.sampling.seed = started.seed
        self.assertEqual(self.read(request)[1], text)

    def test_stop_string_is_left_out_and_named(self):
        _, text, _, _ = self.read(self.request(max_tokens=40))
        stop = text[10:16]
        _, stopped, _, finished = self.read(self.request(max_tokens=40, stop=[stop]))
        self.assertEqual(stopped, text[:text.index(stop)])
        self.assertEqual(finished.reason, self.generation.FINISH_REASON_STOP_STRING)
        self.assertEqual(finished.stop, stop)

    def test_logprobs_belong_to_the_tokens(self):
        deltas = [event.delta for event in self.generate(self.request(max_tokens=5, logprobs=3))
                  if event.WhichOneof("event") == "delta"]
        entries = [(token, entry) for delta in deltas for token, entry in zip(delta.tokens, delta.logprobs)]
        self.assertEqual(len(entries), 5)
        for token, entry in entries:
            self.assertEqual(entry.chosen.token, token)
            self.assertEqual(entry.top[0].token, token)  # greedy
            self.assertEqual(len(entry.top), 3)
            self.assertLessEqual(entry.chosen.logprob, 0)

    def test_tokens_and_text_turn_into_each_other(self):
        text = "And God said, Let there be light"
        tokens = self.call("Generation/Tokenize", self.generation.TokenizeRequest(text=text)).tokens
        back = self.call("Generation/Detokenize", self.generation.DetokenizeRequest(tokens=tokens))
        self.assertEqual(back.text.strip(), text)

    def test_texts_have_vectors_of_length_one(self):
        inputs = [self.generation.EmbedInput(text=text) for text in ("the house of the LORD", "the house of God", "and two")]
        answer = self.call("Generation/Embed", self.generation.EmbedRequest(inputs=inputs))
        lord, god, number = (list(embedding.values) for embedding in answer.embeddings)
        product = lambda a, b: sum(x * y for x, y in zip(a, b))
        self.assertAlmostEqual(product(lord, lord), 1, places=4)
        self.assertGreater(product(lord, god), product(lord, number))

    def test_cancelled_stream_frees_its_slot(self):
        for _ in range(12):  # more than there are slots
            stream = self.generate(self.request())
            next(iter(stream))
            stream.cancel()
        self.assertEqual(len(self.read(self.request(max_tokens=3))[2]), 3)

    def test_deadline_ends_a_stream(self):
        stream = self.generate(self.request("x " * 200), timeout=0.02)
        try:
            reason = list(stream)[-1].finished.reason
            self.assertEqual(reason, self.generation.FINISH_REASON_DEADLINE)
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)

    def test_many_streams_at_once_get_the_same_answer(self):
        expected = self.read(self.request(max_tokens=10))[2]
        answers = [None] * 32

        def ask(i):
            answers[i] = self.read(self.request(max_tokens=10))[2]

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(answers))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [expected] * len(answers))

    def test_bad_requests_are_refused_with_a_reason(self):
        code = grpc.StatusCode
        self.assert_refused(code.INVALID_ARGUMENT, "no prompt", self.generate, self.generation.GenerateRequest())
        self.assert_refused(code.OUT_OF_RANGE, "context", self.generate, self.request(max_tokens=5000))
        self.assert_refused(code.NOT_FOUND, "demo", self.generate, self.request(model="other"))
        bad = self.request(max_tokens=3)
        bad.sampling.top_p = 7
        self.assert_refused(code.INVALID_ARGUMENT, "top_p", self.generate, bad)
        missing = self.models.LoadModelRequest(path="/nonexistent.gguf")
        self.assert_refused(code.NOT_FOUND, "/nonexistent.gguf", self.call, "Models/Load", missing)

    def test_garbage_on_the_wire_is_refused(self):
        call = self.channel.unary_stream("/hearth.v1.Generation/Generate", request_serializer=lambda data: data,
                                         response_deserializer=lambda data: data)
        with self.assertRaises(grpc.RpcError):
            list(call(b"\xff" * 100))
        self.assertEqual(len(self.read(self.request(max_tokens=3))[2]), 3)

    def test_cluster_shows_this_host_and_its_plan(self):
        status = next(iter(self.call("Cluster/Watch", self.cluster.WatchClusterRequest())))
        self.assertEqual([host.name for host in status.hosts], ["python-test"])
        self.assertTrue(status.hosts[0].coordinator)
        plan = self.call("Cluster/Plan", self.cluster.PlanRequest(model="demo"))
        self.assertTrue(plan.explanation)
        self.assertEqual(plan.layers, 5)
        self.assertEqual(sum(share.neurons[0] for share in plan.shares), 768)

    def hearth(self, *arguments, **options):
        return subprocess.run([ARGUMENTS.hearth, *arguments], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "HEARTH_SERVER": self.daemon.address}, **options)

    def test_command_prints_what_the_api_says(self):
        _, text, tokens, _ = self.read(self.request(max_tokens=10))
        plain = self.hearth("generate", "In the beginning", "-n", "10", "--temperature", "0")
        self.assertEqual(plain.returncode, 0, plain.stderr)
        self.assertEqual(plain.stdout.rstrip("\n"), text.rstrip("\n"))
        self.assertIn("tokens/s", plain.stderr)
        lines = self.hearth("generate", "-n", "10", "--temperature", "0", "--json", input="In the beginning")
        events = [json.loads(line) for line in lines.stdout.splitlines()]
        self.assertEqual([token for event in events if "delta" in event for token in event["delta"]["tokens"]], tokens)
        self.assertEqual(events[-1]["finished"]["reason"], "length")

    def test_command_shows_the_cluster(self):
        status = json.loads(self.hearth("status", "--wait-hosts", "1", "--timeout", "30", "--json").stdout)
        self.assertEqual(status["hosts"][0]["state"], "alive")
        self.assertEqual(status["models"][0]["state"], "ready")
        self.assertIn("layer", self.hearth("status", "--neurons").stdout)
        self.assertEqual(json.loads(self.hearth("plan", "--json").stdout)["model"], "demo")
        self.assertIn("demo  ready", self.hearth("models").stdout)

    def assert_fails(self, arguments, part, code=1, **options):
        """One line on stderr with `part` in it, and nothing on stdout."""
        failed = self.hearth(*arguments, **options)
        self.assertEqual(failed.returncode, code, arguments)
        self.assertEqual(failed.stdout, "")
        self.assertEqual(failed.stderr.count("\n"), 1, failed.stderr)
        self.assertTrue(failed.stderr.startswith("hearth: "), failed.stderr)
        self.assertIn(part, failed.stderr)

    def test_command_fails_in_one_line(self):
        self.assert_fails(["plan", "other"], "of a model 'other'")
        self.assert_fails(["load", "/nonexistent.gguf"], "/nonexistent.gguf")
        self.assert_fails(["generate", "x", "-n", "9999"], "max_tokens is 9999")
        self.assert_fails(["generate", "x", "--top-p", "7"], "top_p")
        self.assert_fails(["unload", "other"], "there are: demo")

    def test_command_line_that_is_wrong_is_named(self):
        self.assert_fails(["dance"], "unknown command dance", code=2)
        self.assert_fails(["generate", "--tokens", "1,,2"], '"" is no token id; expected for example 1,2,3', code=2)
        self.assert_fails(["generate", "--tokens", ""], "is no token id", code=2)
        self.assert_fails(["generate", "x", "--seed", "-1"], "--seed", code=2)
        self.assert_fails(["status", "--timeout", "0"], '"0" is no number above 0 up to 31536000', code=2)
        for server in ("nonsense", "", "host:99999"):
            self.assert_fails(["--server", server, "models"], "HOST:PORT", code=2)

    def test_command_checks_text_before_it_is_sent(self):
        self.assert_fails(["generate", b"caf\xe9"], "the text is not valid UTF-8")
        self.assert_fails(["generate"], "at most 4194304 can be sent", input="x" * 5_000_000)

    def test_chat_goes_on_after_what_the_context_has_no_room_for(self):
        chat = self.hearth("chat", "--raw", "-n", "3", "--temperature", "0",
                           input="And God said\n" + "word " * 2000 + "\nAnd\n")
        self.assertEqual(chat.returncode, 0, chat.stderr)
        self.assertEqual(len(chat.stdout.splitlines()), 2, chat.stdout)
        self.assertIn("begin the conversation anew with /reset", chat.stderr)
        odd = subprocess.run([ARGUMENTS.hearth, "--server", self.daemon.address, "chat", "--raw", "-n", "3"],
                             input=b"caf\xe9\nAnd God said\n", capture_output=True, timeout=60)
        self.assertEqual(odd.returncode, 0, odd.stderr)
        self.assertIn(b"not answered: the line is not valid UTF-8", odd.stderr)
        self.assertNotIn("not answered", self.hearth("chat", "--raw", "-n", "3", input="And God said\n").stderr)

    def test_chat_with_a_model_without_template_says_what_to_do(self):
        chat = self.hearth("chat", "-n", "3", input="Hello\n")
        self.assertEqual((chat.returncode, chat.stdout), (1, ""))
        self.assertIn("hearth: the model's file has no chat template", chat.stderr)
        self.assertEqual(chat.stderr.count("\n"), 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("hearthd", "hearth", "protoc", "grpc-python-plugin"):
        parser.add_argument(f"--{name}", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
