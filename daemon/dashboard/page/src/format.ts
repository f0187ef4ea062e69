// Figures and texts as people read them.

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(count: number): string {
  let unit = 0;
  while (count >= 1024 && unit + 1 < UNITS.length) {
    count /= 1024;
    ++unit;
  }
  return `${unit === 0 ? count : digits(count)} ${UNITS[unit]}`;
}

// Three significant digits at most.
export function digits(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 100) return Math.round(value).toString();
  return Number(value.toPrecision(3)).toString();
}

export function percent(part: number, whole: number): string {
  return whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–";
}

export function milliseconds(ms: number): string {
  if (ms <= 0) return "–";
  if (ms < 1) return `${digits(ms * 1000)} µs`;
  return ms < 1000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`;
}

export function speed(bytesPerSecond: number): string {
  if (bytesPerSecond <= 0) return "–";
  return bytesPerSecond >= 1e9 ? `${digits(bytesPerSecond / 1e9)} GB/s` : `${digits(bytesPerSecond / 1e6)} MB/s`;
}

export function operations(perSecond: number): string {
  if (perSecond <= 0) return "–";
  return perSecond >= 1e12 ? `${digits(perSecond / 1e12)} TFLOP/s` : `${digits(perSecond / 1e9)} GFLOP/s`;
}

export function ago(ms: number): string {
  if (ms < 1500) return "just now";
  if (ms < 90_000) return `${Math.round(ms / 1000)} s ago`;
  if (ms < 5_400_000) return `${Math.round(ms / 60_000)} min ago`;
  return `${Math.round(ms / 3_600_000)} h ago`;
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

// "a, b and c".
export function list(names: string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

const NOT_SHOWN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

// A text that others wrote, in one line: what shows nothing or turns the direction of writing is named.
export function printable(text: string, most = 200): string {
  const cut = text.length > most ? `${text.slice(0, most)}…` : text;
  return cut.replace(NOT_SHOWN, (mark) => `\\u{${mark.charCodeAt(0).toString(16)}}`);
}
