// What has happened, the newest first.
import { useState } from "preact/hooks";
import type { HomeEvent } from "../home_state";
import { Foreign, Pill } from "../parts";
import type { Store } from "../store";

const KINDS: Record<string, ["good" | "busy" | "bad" | "plain", string, string]> = {
  "host-joined": ["good", "host", "hosts"],
  "host-woken": ["busy", "host woken", "hosts"],
  "host-lost": ["bad", "host lost", "hosts"],
  "host-gone": ["plain", "host", "hosts"],
  plan: ["busy", "plan", "plans"],
  model: ["plain", "model", "models"],
  "model-failed": ["bad", "model", "models"],
};
const GROUPS = ["all", "hosts", "plans", "models"];

const groupOf = (event: HomeEvent) => KINDS[event.kind]?.[2] ?? "other";

function Entry({ event }: { event: HomeEvent }) {
  const [tone, word] = KINDS[event.kind] ?? ["plain", "event"];
  const time = new Date(event.time);
  return (
    <li>
      <time dateTime={time.toISOString()} title={time.toLocaleString()}>
        {time.toDateString() === new Date().toDateString() ? time.toLocaleTimeString() : time.toLocaleString()}
      </time>
      <Pill tone={tone}>{word}</Pill>
      <span><Foreign text={event.text} most={2000} /></span>
    </li>
  );
}

export function EventsPage({ store }: { store: Store }) {
  const [group, setGroup] = useState("all");
  const shown = store.events.filter((event) => group === "all" || groupOf(event) === group);
  return (
    <>
      <div class="row">
        <div class="choice" role="group" aria-label="Events shown">
          {GROUPS.map((name) => (
            <button key={name} type="button" class="quiet" aria-pressed={group === name} onClick={() => setGroup(name)}>{name}</button>
          ))}
        </div>
      </div>
      <div class="card">
        {shown.length === 0 && <p class="empty">Nothing has happened yet.</p>}
        <div role="log" aria-label="Events, the newest first">
          <ol class="events">{shown.map((event) => <Entry key={event.number} event={event} />)}</ol>
        </div>
        <p class="faint">The last 500 since hearthd was started{store.coordinator ? "" : ", as long as a page was open"}.</p>
      </div>
    </>
  );
}
