// Daemons of one home on free ports of this machine, for the tests of the dashboard.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const { HEARTHD, MODEL } = process.env;
const all = new Set();

// Whatever a test that failed has left.
export const endAll = () => Promise.all([...all].map((daemon) => daemon.end()));

export class Daemon {
  // `options` beyond a name and a state directory of its own. Ready when this resolves.
  static async start(name, options) {
    const daemon = new Daemon(name);
    await daemon.restart(options);
    return daemon;
  }

  constructor(name) {
    this.name = name;
    this.state = mkdtempSync(join(tmpdir(), "hearth-dashboard-"));
    all.add(this);
  }

  async restart(options) {
    rmSync(join(this.state, "port"), { force: true });
    this.process = spawn(HEARTHD, ["--name", this.name, "--state-dir", this.state, "--listen", "127.0.0.1:0", "--log-level", "warning",
      ...options], { stdio: ["ignore", "ignore", "inherit"] });
    this.ended = new Promise((resolve, reject) => {
      this.process.once("exit", (code, signal) => resolve(code ?? signal));
      this.process.once("error", reject);
    });
    let over = false;
    this.ended.then(() => (over = true), () => (over = true));
    for (;;) {
      const port = this.read("port");
      if (port) {
        this.address = `127.0.0.1:${port}`;
        this.http = this.read("http_port");
        this.url = `http://127.0.0.1:${this.http}/`;
        return;
      }
      if (over) throw new Error(`${this.name} did not start`);
      await sleep(20);
    }
  }

  // What a command of `hearth` prints.
  run(...words) {
    return execFileSync(join(dirname(HEARTHD), "hearth"), ["--server", this.address, ...words], { encoding: "utf8" }).trim();
  }

  read(name) {
    try {
      return readFileSync(join(this.state, name), "utf8").trim();
    } catch {
      return "";
    }
  }

  async stop(signal = "SIGTERM") {
    this.process.kill(signal);
    return this.ended;
  }

  async end() {
    all.delete(this);
    await this.stop("SIGKILL").catch(() => {});
    rmSync(this.state, { recursive: true, force: true });
  }
}

const DEVICE = "cpu,threads=1";

export const coordinatorOptions = (http = "0", device = DEVICE) => ["--http", `127.0.0.1:${http}`, "--device", device, "--model", MODEL,
  "--model-name", "demo", "--context", "512", "--use-every-host",
  "--draft-tokens", "0"]; // so that each step is a single token, whose time is told
export const coordinator = (name = "attic", device = DEVICE) => Daemon.start(name, coordinatorOptions("0", device));
export const workerOptions = (home, http = "off") => ["--join", home.address, "--http", http, "--device", DEVICE];
export const worker = (name, home, http) => Daemon.start(name, workerOptions(home, http));
