// How figures have gone: what the daemon keeps, and what has come since the page was opened.

export type Value = number | null;

export interface Series {
  name: string;
  labels: Record<string, string>;
  values: Value[];
}

export interface Figures {
  times: number[];
  series: Series[];
}

const KEPT = 600;

const keyOf = (series: Series) => series.name + JSON.stringify(Object.entries(series.labels).sort());

// `figures` with `sample`, which has one time, at the end.
export function append(figures: Figures, sample: Figures): Figures {
  const time = sample.times[0];
  if (time === undefined || time <= (figures.times.at(-1) ?? 0)) return figures;
  const came = new Map(sample.series.map((series) => [keyOf(series), series]));
  const series = figures.series.map((old) => {
    const key = keyOf(old);
    const value = came.get(key)?.values[0] ?? null;
    came.delete(key);
    return { ...old, values: [...old.values, value].slice(-KEPT) };
  });
  const times = [...figures.times, time].slice(-KEPT);
  for (const fresh of came.values()) {
    const silent: Value[] = Array(times.length - 1).fill(null);
    series.push({ ...fresh, values: [...silent, fresh.values[0] ?? null] });
  }
  return { times, series: series.filter((one) => one.values.some((value) => value !== null)) };
}

export const named = (figures: Figures, name: string) => figures.series.filter((series) => series.name === name);

// How much a counter grew since the time before; null where it began anew.
export function growth(values: Value[]): Value[] {
  return values.map((value, i) => {
    const before = values[i - 1];
    return value === null || before === null || before === undefined || value < before ? null : value - before;
  });
}

export function perSecond(values: Value[], times: number[]): Value[] {
  return growth(values).map((grown, i) => (grown === null ? null : (grown * 1000) / (times[i]! - times[i - 1]!)));
}

// The median of what there is.
export function median(values: Value[]): Value {
  const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[sorted.length >> 1]!;
}
