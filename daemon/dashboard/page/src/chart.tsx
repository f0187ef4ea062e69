// Lines over time.
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import { digits } from "./format";
import { median, type Value } from "./history";

export interface Line {
  label: string;
  values: Value[];
  dashed?: boolean;
}

const COLORS = 8;
const HEIGHT = 190;

// A colour of the style sheet as the canvas takes it.
function resolved(element: HTMLElement, variable: string): string {
  const probe = element.appendChild(document.createElement("span"));
  probe.style.color = `var(${variable})`;
  const color = getComputedStyle(probe).color;
  probe.remove();
  return color;
}

// Counts the times that light became dark or dark light.
function useTheme(): number {
  const [count, setCount] = useState(0);
  useEffect(() => {
    const changed = () => setCount((before) => before + 1);
    const media = matchMedia("(prefers-color-scheme: dark)");
    const observer = new MutationObserver(changed);
    media.addEventListener("change", changed);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    return () => {
      media.removeEventListener("change", changed);
      observer.disconnect();
    };
  }, []);
  return count;
}

const clock = (seconds: number) => new Date(seconds * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

function options(element: HTMLElement, lines: Line[], unit: string): uPlot.Options {
  const faint = resolved(element, "--faint"), rule = resolved(element, "--rule");
  const axis = { stroke: faint, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 }, font: "12px system-ui, sans-serif" };
  return {
    width: Math.max(element.clientWidth, 100),
    height: HEIGHT,
    padding: [8, 32, 0, 0],
    cursor: { sync: { key: "speed" }, drag: { x: false, y: false } },
    scales: { y: { range: (_, least, most) => [Math.min(0, least ?? 0), (most ?? 0) > 0 ? most * 1.1 : 1] } },
    axes: [{ ...axis, space: 90, values: (_, times) => times.map(clock) }, { ...axis, size: 52, values: (_, values) => values.map((value) => digits(value)) }],
    series: [
      { value: (_, time) => (time === null ? "" : clock(time)) },
      ...lines.map((line, i) => ({
        label: line.label,
        stroke: resolved(element, `--d${i % COLORS}`),
        width: 2,
        dash: line.dashed ? [6, 4] : undefined,
        points: { show: false },
        spanGaps: false,
        value: (_: uPlot, value: number | null) => (value === null || value === undefined ? "–" : `${digits(value)} ${unit}`),
      })),
    ],
  };
}

function summaryOf(lines: Line[], unit: string): string {
  return lines
    .map((line) => {
      const now = line.values.findLast((value) => value !== null);
      if (now === null || now === undefined) return `${line.label}: nothing yet`;
      const highest = line.values.reduce<number>((most, value) => Math.max(most, value ?? 0), 0);
      return `${line.label}: ${digits(now)} ${unit} last, ${digits(median(line.values)!)} median, ${digits(highest)} highest`;
    })
    .join("; ");
}

// The last `seconds` before the last of `times` (ms since 1970).
export function Chart({ title, note, unit, times, seconds, lines }: {
  title: string; note?: string; unit: string; times: number[]; seconds: number; lines: Line[];
}) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useTheme();
  const shape = lines.map((line) => line.label).join("\n");
  const data = [times.map((time) => time / 1000), ...lines.map((line) => line.values)] as uPlot.AlignedData;

  useEffect(() => {
    const element = frame.current!;
    plot.current = new uPlot(options(element, lines, unit), data, element);
    const observer = new ResizeObserver(() => plot.current?.setSize({ width: Math.max(element.clientWidth, 100), height: HEIGHT }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, theme, unit]);
  useEffect(() => {
    plot.current?.setData(data, false);
    plot.current?.setScale("x", { min: (times.at(-1) ?? 0) / 1000 - seconds, max: (times.at(-1) ?? 0) / 1000 });
    // Where nobody points at a time the legend tells the newest figures, once uPlot has drawn, which empties it.
    queueMicrotask(() => {
      if (plot.current && (plot.current.cursor.left ?? -1) < 0) plot.current.setLegend({ idx: times.length - 1 });
    });
  }, [times, lines, shape, theme]);

  return (
    <figure class="card chart">
      <figcaption><h2>{title}</h2>{note && <p class="faint">{note}</p>}</figcaption>
      {lines.length === 0 && <p class="empty">Nothing yet.</p>}
      <div ref={frame} class="plot" role="img" aria-label={`${title}. ${summaryOf(lines, unit)}`} />
    </figure>
  );
}
