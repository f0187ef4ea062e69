#!/usr/bin/env python3
"""The manual's page on metrics and what deploy/monitoring makes of them, beside the /metrics of a coordinator and a worker.

    metrics_test.py --hearthd PATH --hearth PATH

Every metric is documented with its type, none is invented, and dashboard and alerts use those that there are. Debian's promtool and
prometheus check and scrape where they are installed.
"""

import argparse
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "hearth-demo-q8_0.gguf"
PAGE = ROOT / "deploy" / "manual" / "metrics.md"
MONITORING = ROOT / "deploy" / "monitoring"
TRANSIENT = {"hearth_transfer_bytes", "hearth_transfer_done_bytes"}  # while weights are on their way
OF_A_DISK = {f"hearth_disk_{name}" for name in ("hits_total", "misses_total", "evictions_total", "read_bytes_total", "wait_seconds_total",
                                                "memory_bytes")}
PATIENCE_S = 120
ARGUMENTS = None


def used_metrics(text):
    """The names in expressions, those of a histogram's parts as the histogram's."""
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bhearth_[a-z_]+", text)}


class MetricsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.daemons = []
        coordinator = cls.start("a", "--model", MODEL, "--model-name", "demo", "--context", "512", "--http", "127.0.0.1:0", "--use-every-host")
        cls.grpc = coordinator.first_line.split()[-1]
        cls.http = coordinator.stdout.readline().split()[-1].split("/")[2]
        cls.start("b", "--join", cls.grpc, "--http", "off")
        cls.hearth("status", "--wait-alive", "2", "--wait-hosts", "2", "--timeout", str(PATIENCE_S))
        cls.hearth("generate", "In the beginning", "-n", "12")
        with urllib.request.urlopen(f"http://{cls.http}/metrics", timeout=30) as answer:
            cls.text = answer.read().decode()
        cls.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", cls.text, re.MULTILINE))
        cls.documented = dict(re.findall(r"^\| `(hearth_\w+)` \| (\w+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    @classmethod
    def tearDownClass(cls):
        codes = []
        for process in reversed(cls.daemons):
            process.terminate()
            codes.append(process.wait(timeout=30))
            process.stdout.close()
        cls.folder.cleanup()
        if any(codes):
            raise RuntimeError(f"daemons ended with {codes}")

    @classmethod
    def start(cls, name, *words):
        process = subprocess.Popen([ARGUMENTS.hearthd, "--listen", "127.0.0.1:0", "--name", name, "--state-dir", f"{cls.folder.name}/{name}",
                                    "--device", "cpu,memory=1GiB,threads=1,bandwidth=10G", "--log-level", "error", *words],
                                   stdout=subprocess.PIPE, text=True)
        process.first_line = process.stdout.readline()
        cls.daemons.append(process)
        return process

    @classmethod
    def hearth(cls, *words):
        subprocess.run([ARGUMENTS.hearth, "--server", cls.grpc, *words], check=True, stdout=subprocess.DEVNULL, timeout=PATIENCE_S + 30)

    def test_every_metric_is_documented_and_none_is_invented(self):
        self.assertEqual(self.documented.keys() - TRANSIENT - OF_A_DISK, self.types.keys())

    def test_metrics_that_come_and_go_are_documented_and_in_the_code(self):
        code = (ROOT / "daemon" / "serving" / "status_metrics.cc").read_text(encoding="utf-8")
        for name in TRANSIENT:
            self.assertIn(name, self.documented)
            self.assertIn(f'"{name}"', code)

    def test_types_are_as_documented(self):
        for name, kind in self.types.items():
            self.assertEqual(self.documented.get(name), kind, name)

    def test_labels_are_named_by_the_page(self):
        page = PAGE.read_text(encoding="utf-8")
        for label in set(re.findall(r'[{,](\w+)="', self.text)) - {"le"}:
            self.assertIn(f"`{label}`", page)

    def test_figures_of_requests_hosts_and_links_are_there(self):
        for line in ('hearth_generated_tokens_total{model="demo"} 12', 'hearth_requests_total{model="demo",outcome="length"} 1',
                     'hearth_host_losses_total{host="b"} 0', 'hearth_step_seconds_count{model="demo",phase="generate"} '):
            self.assertIn(line, self.text)
        self.assertGreater(float(re.search(r'hearth_link_round_trip_seconds\{from="a",to="b"\} (\S+)', self.text).group(1)), 0)

    def test_dashboard_uses_metrics_that_there_are(self):
        dashboard = json.loads((MONITORING / "grafana.json").read_text(encoding="utf-8"))
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        self.assertEqual(used_metrics("\n".join(expressions)) - self.documented.keys(), set())
        self.assertEqual(self.documented.keys() - used_metrics("\n".join(expressions)) - {
            "hearth_share_weight_bytes", "hearth_plan_active", "hearth_host_last_sync_seconds", "hearth_host_memory_bytes",
            "hearth_host_groups_from_cache_total", "hearth_device_operations_per_second"}, set(), "the dashboard shows all others")

    def test_alerts_use_metrics_that_there_are(self):
        expressions = re.findall(r"^ +expr: (.*)$", (MONITORING / "alerts.yml").read_text(encoding="utf-8"), re.MULTILINE)
        self.assertGreater(len(expressions), 5)
        self.assertEqual(used_metrics("\n".join(expressions)) - self.documented.keys(), set())

    @unittest.skipUnless(shutil.which("promtool"), "promtool comes with Debian's prometheus")
    def test_prometheus_takes_its_configuration_and_alerts(self):
        subprocess.run(["promtool", "check", "config", MONITORING / "prometheus.yml"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["promtool", "check", "metrics"], input=self.text, text=True, stdout=subprocess.DEVNULL, check=True)

    @unittest.skipUnless(shutil.which("prometheus"), "Debian's prometheus is not installed")
    def test_prometheus_scrapes(self):
        folder = pathlib.Path(self.folder.name)
        text = (MONITORING / "prometheus.yml").read_text(encoding="utf-8").replace("127.0.0.1:7780", self.http).replace("15s", "1s")
        (folder / "prometheus.yml").write_text(text, encoding="utf-8")
        shutil.copy(MONITORING / "alerts.yml", folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with open(folder / "prometheus.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                                        f"--web.listen-address=127.0.0.1:{port}"], stderr=log)
        try:
            self.assertEqual(self.first_value(port, 'hearth_generated_tokens_total{model="demo"}'), "12")
            self.assertEqual(self.first_value(port, "up"), "1")
        finally:
            process.terminate()
            process.wait(timeout=30)

    def first_value(self, port, query):
        """Of the first sample that Prometheus has of it: it scrapes on its own time."""
        url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(url, timeout=5) as answer:
                    results = json.load(answer)["data"]["result"]
                if results:
                    return results[0]["value"][1]
            except OSError:
                pass
            time.sleep(0.2)  # nothing tells when it has scraped
        return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("hearthd", "hearth"):
        parser.add_argument(f"--{option}", required=True)
    ARGUMENTS, rest = parser.parse_known_args()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
