// What is wrong with a home, in words, the worst first.
import { ago, list, milliseconds, plural, printable } from "./format";
import { median, named, type Figures } from "./history";
import type { Home, Host } from "./home_state";

export interface Trouble {
  grave: boolean;
  what: string;
  todo: string;
}

const SLOWER = 2; // times what the plan expects, and
const SLOWER_MS = 5; // more than that
const NEARLY_FULL = 0.03; // of a machine's memory
const LONG_QUEUE = 4;

function ofHost(host: Host): Trouble[] {
  const name = printable(host.name);
  const detail = host.detail ? `: ${printable(host.detail, 500)}` : "";
  if (host.state === "HOST_STATE_LOST") {
    return [{
      grave: true,
      what: `${name} is lost${detail}. It was last heard of ${ago(host.last_sync_ms)}.`,
      todo: "Look whether it is switched on and on the network; it takes part again by itself.",
    }];
  }
  if (host.state === "HOST_STATE_JOINING") return [{ grave: false, what: `${name} is joining${detail}.`, todo: "" }];
  const troubles: Trouble[] = [];
  if (host.memory_bytes > 0 && host.memory_free_bytes < NEARLY_FULL * host.memory_bytes) {
    troubles.push({
      grave: false,
      what: `${name} has nearly no memory left.`,
      todo: "Close other programs there, or give Hearth less (hearthd --device cpu,memory=…).",
    });
  }
  return troubles;
}

function ofVersions(hosts: Host[]): Trouble[] {
  const versions = [...new Set(hosts.map((host) => host.version).filter((version) => version))];
  if (versions.length < 2) return [];
  return [{
    grave: false,
    what: `Hosts run different versions of Hearth: ${list(versions.map((version) => printable(version, 40)))}.`,
    todo: "Bring all to the same one.",
  }];
}

export function troublesOf(home: Home, figures: Figures): Trouble[] {
  const troubles = home.cluster.hosts.flatMap(ofHost);
  for (const model of home.models.models) {
    if (model.state !== "MODEL_STATE_FAILED") continue;
    troubles.push({
      grave: true,
      what: `${printable(model.name)} could not be loaded: ${printable(model.detail, 500)}.`,
      todo: "Unload it and load it again once that is mended.",
    });
  }
  for (const plan of home.cluster.plans) {
    const usual = Math.max(SLOWER * plan.expected_token_ms, plan.expected_token_ms + SLOWER_MS);
    if (!plan.active || plan.measured_token_ms <= usual) continue;
    troubles.push({
      grave: false,
      what: `${printable(plan.model)} is slower than planned: a token takes ${milliseconds(plan.measured_token_ms)}, ` +
        `${milliseconds(plan.expected_token_ms)} were expected.`,
      todo: "Something else may use the machines or the network; the page Speed shows who is waited for.",
    });
  }
  for (const series of named(figures, "hearth_requests_waiting")) {
    const waiting = median(series.values.slice(-5)) ?? 0;
    if (waiting < LONG_QUEUE) continue;
    troubles.push({
      grave: false,
      what: `${plural(waiting, "request waits", "requests wait")} for ${printable(series.labels.model ?? "a model")}.`,
      todo: "More come in than are answered.",
    });
  }
  troubles.push(...ofVersions(home.cluster.hosts));
  return troubles.sort((a, b) => Number(b.grave) - Number(a.grave));
}

// One sentence on a home that is well.
export function verdict(home: Home): string {
  const alive = home.cluster.hosts.filter((host) => host.state === "HOST_STATE_ALIVE").length;
  const ready = home.models.models.filter((model) => model.state === "MODEL_STATE_READY").length;
  const hosts = `${plural(alive, "host")} ${alive === 1 ? "is" : "are"} there`;
  if (home.models.models.length === 0) return `${hosts}; no model is loaded yet.`;
  return `${hosts}, ${plural(ready, "model")} ${ready === 1 ? "is" : "are"} ready.`;
}
