// What the daemon tells: the messages of proto/hearth/v1 as its JSON has them.

export interface Device {
  name: string;
  kind: string;
  memory_budget_bytes: number;
  memory_used_bytes: number;
  threads: number;
  read_bytes_per_second: number;
  operations_per_second: number;
}

export interface Host {
  name: string;
  address: string;
  state: "HOST_STATE_JOINING" | "HOST_STATE_ALIVE" | "HOST_STATE_LOST" | "HOST_STATE_UNSPECIFIED";
  coordinator: boolean;
  detail: string;
  last_sync_ms: number;
  cores: number;
  memory_bytes: number;
  memory_free_bytes: number;
  version: string;
  devices: Device[];
  weights_fetched_bytes: number;
  groups_from_cache: number;
}

export interface Link {
  from: string;
  to: string;
  round_trip_us: number;
  bytes_per_second: number;
}

export interface Transfer {
  host: string;
  model: string;
  bytes_done: number;
  bytes_total: number;
  detail: string;
}

export interface Share {
  host: string;
  device: string;
  weight_bytes: number;
  neurons: number[];
  neurons_computed: number[];
  neurons_offered: number[];
  bytes_touched: number;
  round_trips: number;
  wait_us: number;
  head_groups: number;
  output_runs: number;
}

export interface Plan {
  model: string;
  epoch: number;
  active: boolean;
  expected_token_ms: number;
  measured_token_ms: number;
  objective: string; // what it is to make fast, and what that gives
  expected_tokens_per_second: number;
  measured_tokens_per_second: number;
  explanation: string;
  layers: number;
  shares: Share[];
}

export interface Model {
  name: string;
  path: string;
  digest: string;
  architecture: string;
  state: "MODEL_STATE_LOADING" | "MODEL_STATE_READY" | "MODEL_STATE_FAILED" | "MODEL_STATE_UNLOADING" | "MODEL_STATE_UNSPECIFIED";
  detail: string;
  bytes_done: number;
  bytes_total: number;
  context_length: number;
  vocabulary_size: number;
  sparsity: string;
  quantisation: string;
  plan_epoch: number;
}

export interface Home {
  cluster: { hosts: Host[]; links: Link[]; transfers: Transfer[]; plans: Plan[] };
  models: { models: Model[] };
}

export interface HomeEvent {
  number: number;
  time: number;
  kind: string;
  text: string;
}

// 64-bit numbers come as texts.
const NUMBERS = new Set([
  "memory_budget_bytes", "memory_used_bytes", "last_sync_ms", "memory_bytes", "memory_free_bytes", "weights_fetched_bytes",
  "groups_from_cache", "bytes_done", "bytes_total", "weight_bytes", "bytes_touched", "round_trips", "wait_us", "head_groups",
  "output_runs", "epoch", "context_length", "vocabulary_size", "plan_epoch", "read_bytes_per_second",
  "operations_per_second", "round_trip_us", "bytes_per_second", "expected_token_ms", "measured_token_ms",
  "expected_tokens_per_second", "measured_tokens_per_second",
]);
const LISTS_OF_NUMBERS = new Set(["neurons", "neurons_computed", "neurons_offered"]);

export function parseHome(text: string): Home {
  return JSON.parse(text, (key, value) => {
    if (LISTS_OF_NUMBERS.has(key) && Array.isArray(value)) return value.map(Number);
    return NUMBERS.has(key) ? Number(value) : value;
  });
}

export const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

// How many tokens, prompts' included, devices have computed under their plan.
export function tokensOf(shares: Share[]): number {
  const held = sum(shares.flatMap((share) => share.neurons));
  return held > 0 ? sum(shares.flatMap((share) => share.neurons_offered)) / held : 0;
}
