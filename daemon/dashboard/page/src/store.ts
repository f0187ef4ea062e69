// The page's one connection to its daemon, and what it has told.
import { useEffect, useState } from "preact/hooks";
import { call, eventsOf, onRefused, setKey, type ServerEvent } from "./call";
import { append, type Figures } from "./history";
import { parseHome, type Home, type HomeEvent } from "./home_state";

export interface Store {
  // Whether the daemon is heard of now; null: not yet known.
  connected: boolean | null;
  // Since when not, in ms since 1970.
  silentSince: number;
  // The daemon wants a key, or another one; why not the one it had, where it had one.
  wantsKey: boolean;
  keyProblem: string;
  version: string;
  coordinator: boolean;
  admin: boolean;
  // Why the coordinator's state is not known; empty: it is.
  away: string;
  home: Home | null;
  events: HomeEvent[];
  figures: Figures;
}

const KEPT_EVENTS = 500;
const SILENCE_MS = 10_000;
const RETRY_MS = 1000;

let store: Store = {
  connected: null,
  silentSince: Date.now(),
  wantsKey: false,
  keyProblem: "",
  version: "",
  coordinator: true,
  admin: false,
  away: "",
  home: null,
  events: [],
  figures: { times: [], series: [] },
};
const watchers = new Set<() => void>();
let source: AbortController | null = null;
let heard = Date.now();

function update(change: Partial<Store>) {
  store = { ...store, ...change };
  for (const watcher of watchers) watcher();
}

// The store as it is, again whenever it changes.
export function useStore(): Store {
  const [, redraw] = useState(0);
  useEffect(() => {
    const watcher = () => redraw((count) => count + 1);
    watchers.add(watcher);
    watcher();
    return () => void watchers.delete(watcher);
  }, []);
  return store;
}

function disconnect() {
  source?.abort();
  source = null;
}

function lose() {
  disconnect();
  if (store.connected !== false) update({ connected: false, silentSince: Date.now() });
}

async function fetchFigures() {
  const answer = await call("/dashboard/history").catch(() => null);
  if (answer?.ok) update({ figures: (await answer.json()) as Figures });
}

function onHello(text: string) {
  // Numbers of events begin anew with the daemon, and all that it knows comes again.
  update({ ...JSON.parse(text), connected: true, events: [] });
  void fetchFigures();
}

function onEvents(text: string) {
  const last = store.events[0]?.number ?? 0;
  const fresh = (JSON.parse(text) as HomeEvent[]).filter((event) => event.number > last).reverse();
  update({ events: [...fresh, ...store.events].slice(0, KEPT_EVENTS) });
}

const takers: Record<string, (text: string) => void> = {
  hello: onHello,
  state: (text) => update({ home: parseHome(text), away: "" }),
  away: (text) => update({ away: JSON.parse(text).message }),
  events: onEvents,
  sample: (text) => update({ figures: append(store.figures, JSON.parse(text)) }),
};

async function* news(opened: AbortController): AsyncGenerator<ServerEvent> {
  const answer = await call("/dashboard/news", { signal: opened.signal });
  if (answer.ok && answer.body) yield* eventsOf(answer.body);
}

async function follow(opened: AbortController) {
  for await (const { name, data } of news(opened)) {
    if (opened !== source) return;
    heard = Date.now();
    takers[name]?.(data);
  }
}

function connect() {
  disconnect();
  heard = Date.now();
  const opened = new AbortController();
  source = opened;
  follow(opened)
    .catch(() => {})
    .finally(() => opened === source && lose());
}

onRefused((keyProblem) => {
  disconnect();
  update({ wantsKey: true, keyProblem });
});

export function tryKey(key: string) {
  setKey(key);
  update({ wantsKey: false, keyProblem: "" });
  connect();
}

// Connects, and again whenever the daemon was not heard of for a while. A page that nobody sees lets go:
// browsers give all pages of one daemon six connections together.
export function watchDaemon() {
  connect();
  setInterval(() => {
    if (document.hidden || store.wantsKey) return;
    if (source === null) connect();
    else if (Date.now() - heard > SILENCE_MS) lose();
  }, RETRY_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else if (!store.wantsKey) connect();
  });
}
