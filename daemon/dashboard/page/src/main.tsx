// The page: what the daemon tells, one part at a time.
import { render, type ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import "./app.css";
import { printable } from "./format";
import type { Home } from "./home_state";
import { ChatPage } from "./pages/chat";
import { EventsPage } from "./pages/events";
import { HomePage } from "./pages/home";
import { ModelsPage } from "./pages/models";
import { PlanPage } from "./pages/plan";
import { SpeedPage } from "./pages/speed";
import { tryKey, useStore, watchDaemon, type Store } from "./store";

interface Page {
  path: string;
  title: string;
  icon: string; // an outline in 24 x 24
  show: (store: Store, home: Home) => ComponentChildren;
}

const PAGES: Page[] = [
  { path: "", title: "Home", icon: "M4 11l8-7 8 7v9h-5v-6H9v6H4z", show: (store, home) => <HomePage store={store} home={home} /> },
  { path: "plan", title: "Plan", icon: "M4 5h9v4H4zM15 5h5v4h-5zM4 11h6v4H4zM12 11h8v4h-8zM4 17h11v3H4zM17 17h3v3h-3z", show: (_, home) => <PlanPage home={home} /> },
  { path: "speed", title: "Speed", icon: "M4 19V5M4 19h16M7 15l4-5 3 3 5-7", show: (store, home) => <SpeedPage store={store} home={home} /> },
  { path: "models", title: "Models", icon: "M12 3l8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9", show: (store, home) => <ModelsPage store={store} home={home} /> },
  { path: "events", title: "Events", icon: "M12 7v5l3 2M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z", show: (store) => <EventsPage store={store} /> },
  { path: "chat", title: "Chat", icon: "M4 5h16v11H10l-4 4v-4H4z", show: (_, home) => <ChatPage home={home} /> },
];

const pageNow = () => PAGES.find((page) => page.path === location.hash.replace(/^#\/?/, "")) ?? PAGES[0]!;

function usePage(): Page {
  const [page, setPage] = useState(pageNow);
  useEffect(() => {
    const changed = () => setPage(pageNow());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return page;
}

const THEMES = ["auto", "light", "dark"];

function ThemeChoice() {
  const [theme, setTheme] = useState(() => {
    try {
      return localStorage.getItem("hearth.theme") ?? "auto";
    } catch {
      return "auto";
    }
  });
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    try {
      localStorage.setItem("hearth.theme", theme);
    } catch {
      // Then it is for this time.
    }
  }, [theme]);
  return (
    <label class="theme">Colours
      <select value={theme} onChange={(event) => setTheme(event.currentTarget.value)}>
        {THEMES.map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
    </label>
  );
}

function KeyForm({ problem }: { problem: string }) {
  const [key, setKey] = useState("");
  return (
    <form class="fields key" onSubmit={(event) => {
      event.preventDefault();
      if (key.trim()) tryKey(key.trim());
    }}>
      <p>This home asks for a key. <code>hearth key create --api NAME</code> makes one on the coordinator's machine.</p>
      {problem && <p class="connection bad" role="alert">{printable(problem, 300)}</p>}
      <label class="field wide">Key
        <input type="password" name="key" autocomplete="current-password" required pattern="\s*hearth-[a-z2-7]+\s*" title="hearth-…" value={key}
          onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <button type="submit">Open</button>
    </form>
  );
}

function Connection({ store }: { store: Store }) {
  if (store.connected === false) {
    return (
      <p class="connection bad" role="alert">
        <strong>hearthd does not answer</strong> since {new Date(store.silentSince).toLocaleTimeString()}; trying again.
        {store.home && " What is shown is what was known then."}
      </p>
    );
  }
  if (store.away) {
    return <p class="connection bad" role="alert"><strong>The coordinator cannot be asked:</strong> {printable(store.away, 500)}</p>;
  }
  return null;
}

function App() {
  const store = useStore();
  const page = usePage();
  const heading = useRef<HTMLHeadingElement>(null);
  const first = useRef(true);
  useEffect(() => {
    document.title = page.path ? `${page.title} · Hearth` : "Hearth";
    if (!first.current) {
      scrollTo(0, 0);
      heading.current?.focus();
    }
    first.current = false;
  }, [page]);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        heading.current?.focus();
      }}>To the content</a>
      <header class="side">
        <a class="brand" href="#/"><img src="/dashboard/icon.svg" alt="" width={28} height={28} />Hearth</a>
        <nav aria-label="Pages">
          {PAGES.map((one) => (
            <a key={one.path} href={`#/${one.path}`} aria-current={one === page ? "page" : undefined}>
              <svg viewBox="0 0 24 24" aria-hidden="true"><path d={one.icon} /></svg>
              <span>{one.title}</span>
            </a>
          ))}
        </nav>
        <div class="side-end">
          <ThemeChoice />
          {store.version && <span class="faint">hearthd {printable(store.version, 30)}</span>}
        </div>
      </header>
      <main id="main" class={store.connected === false ? "stale" : ""}>
        <h1 ref={heading} tabIndex={-1}>{page.title}</h1>
        {!store.wantsKey && <Connection store={store} />}
        {store.wantsKey ? <KeyForm problem={store.keyProblem} /> : store.home ? page.show(store, store.home) : store.connected !== false && <p class="empty">Asking hearthd…</p>}
      </main>
    </>
  );
}

watchDaemon();
render(<App />, document.getElementById("app")!);
