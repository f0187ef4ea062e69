// How fast tokens come, who waits, and for whom.
import { useMemo, useState } from "preact/hooks";
import { Chart, type Line } from "../chart";
import { milliseconds, printable } from "../format";
import { growth, named, perSecond, type Figures, type Series, type Value } from "../history";
import type { Home } from "../home_state";
import type { Store } from "../store";

const RANGES = [["5 minutes", 300], ["30 minutes", 1800]] as const;
const MOST_LINES = 16; // of one chart

const model = (series: Series) => printable(series.labels.model ?? "", 40);

function within(figures: Figures, seconds: number): Figures {
  const from = (figures.times.at(-1) ?? 0) - 1000 * seconds;
  const start = figures.times.findIndex((time) => time >= from);
  return start <= 0 ? figures : {
    times: figures.times.slice(start),
    series: figures.series.map((series) => ({ ...series, values: series.values.slice(start) })),
  };
}

const scaled = (values: Value[], by: number): Value[] => values.map((value) => (value === null ? null : value * by));

function speedLines(figures: Figures): Line[] {
  const lines = (name: string, word: string, dashed: boolean) =>
    named(figures, name).map((series) => ({ label: `${model(series)} ${word}`, values: perSecond(series.values, figures.times), dashed }));
  return [...lines("hearth_generated_tokens_total", "generated", false), ...lines("hearth_prompt_tokens_total", "read", true)];
}

function queueLines(figures: Figures): Line[] {
  const lines = (name: string, word: string, dashed: boolean) =>
    named(figures, name).map((series) => ({ label: `${model(series)} ${word}`, values: series.values, dashed }));
  return [...lines("hearth_requests_running", "answered", false), ...lines("hearth_requests_waiting", "waiting", true)];
}

function tokenLines(figures: Figures): Line[] {
  const lines = (name: string, word: string, dashed: boolean) =>
    named(figures, name).map((series) => ({
      label: `${model(series)} ${word}`,
      values: scaled(series.values, 1000).map((value) => value || null), // 0: not yet known
      dashed,
    }));
  return [...lines("hearth_plan_measured_token_seconds", "measured", false), ...lines("hearth_plan_expected_token_seconds", "expected", true)];
}

// How long the leader waited for each device, by generated token.
function waitLines(figures: Figures): Line[] {
  const tokens = new Map(named(figures, "hearth_generated_tokens_total").map((series) => [series.labels.model, growth(series.values)]));
  return named(figures, "hearth_share_wait_seconds_total")
    .filter((series) => series.values.some((value) => value !== null && value > 0))
    .map((series) => ({
      label: printable(`${series.labels.host}/${series.labels.device}`, 40),
      values: growth(series.values).map((seconds, i) => {
        const made = tokens.get(series.labels.model)?.[i] ?? 0;
        return seconds === null || made === null || made <= 0 ? null : (1000 * seconds) / made;
      }),
    }));
}

function linkLines(figures: Figures): Line[] {
  return named(figures, "hearth_link_round_trip_seconds").map((series) => ({
    label: printable(`${series.labels.from} – ${series.labels.to}`, 60),
    values: scaled(series.values, 1000),
  }));
}

function OnWorker({ home }: { home: Home }) {
  return (
    <>
      <p class="empty">The coordinator keeps the figures of the past: open the dashboard there. This is what is known here now.</p>
      <ul>
        {home.cluster.plans.map((plan) => (
          <li key={plan.model}>{printable(plan.model)}: {milliseconds(plan.measured_token_ms)} per token, {milliseconds(plan.expected_token_ms)} expected</li>
        ))}
      </ul>
    </>
  );
}

export function SpeedPage({ store, home }: { store: Store; home: Home }) {
  const [seconds, setSeconds] = useState<number>(RANGES[0][1]);
  const shown = useMemo(() => {
    const figures = within(store.figures, seconds);
    const lines = [speedLines, queueLines, tokenLines, waitLines, linkLines].map((make) => make(figures).slice(0, MOST_LINES));
    return { times: figures.times, lines };
  }, [store.figures, seconds]);
  if (!store.coordinator) return <OnWorker home={home} />;
  const { times, lines: [speeds, queue, tokens, waits, links] } = shown;
  return (
    <>
      <div class="row">
        <div class="choice" role="group" aria-label="Time shown">
          {RANGES.map(([text, value]) => (
            <button key={value} type="button" class="quiet" aria-pressed={seconds === value} onClick={() => setSeconds(value)}>{text}</button>
          ))}
        </div>
      </div>
      <Chart title="Tokens per second" unit="tok/s" times={times} seconds={seconds} lines={speeds!} />
      <Chart title="Requests" note="At the same time: those that are answered and those that wait for a place." unit="" times={times} seconds={seconds} lines={queue!} />
      <Chart title="Time per token" note="Of single streams; what the plan expects is dashed." unit="ms" times={times} seconds={seconds} lines={tokens!} />
      <Chart title="Waiting for hosts" note="How long the leader waited for each device, per generated token." unit="ms" times={times} seconds={seconds} lines={waits!} />
      {home.cluster.links.length > 0 && <Chart title="Links" note="A small message there and back." unit="ms" times={times} seconds={seconds} lines={links!} />}
    </>
  );
}
