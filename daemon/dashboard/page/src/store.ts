// The page's one connection to its daemon, and what it has told.
import { useEffect, useState } from "preact/hooks";
import { append, type Figures } from "./history";
import { parseHome, type Home, type HomeEvent } from "./home_state";

export interface Store {
  // Whether the daemon is heard of now; null: not yet known.
  connected: boolean | null;
  // Since when not, in ms since 1970.
  silentSince: number;
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
  version: "",
  coordinator: true,
  admin: false,
  away: "",
  home: null,
  events: [],
  figures: { times: [], series: [] },
};
const watchers = new Set<() => void>();
let source: EventSource | null = null;
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
  source?.close();
  source = null;
}

function lose() {
  disconnect();
  if (store.connected !== false) update({ connected: false, silentSince: Date.now() });
}

async function fetchFigures() {
  const answer = await fetch("/dashboard/history").catch(() => null);
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

function connect() {
  disconnect();
  heard = Date.now();
  const opened = new EventSource("/dashboard/news");
  source = opened;
  const on = (name: string, take: (text: string) => void) =>
    opened.addEventListener(name, (event) => {
      if (opened !== source) return;
      heard = Date.now();
      take((event as MessageEvent<string>).data);
    });
  on("hello", onHello);
  on("state", (text) => update({ home: parseHome(text), away: "" }));
  on("away", (text) => update({ away: JSON.parse(text).message }));
  on("events", onEvents);
  on("sample", (text) => update({ figures: append(store.figures, JSON.parse(text)) }));
  opened.addEventListener("error", () => opened === source && lose());
}

// Connects, and again whenever the daemon was not heard of for a while. A page that nobody sees lets go:
// browsers give all pages of one daemon six connections together.
export function watchDaemon() {
  connect();
  setInterval(() => {
    if (document.hidden) return;
    if (source === null) connect();
    else if (Date.now() - heard > SILENCE_MS) lose();
  }, RETRY_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) disconnect();
    else connect();
  });
}
