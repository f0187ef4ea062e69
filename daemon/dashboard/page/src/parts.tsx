// Small pieces that pages are made of.
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { wordsOf } from "./ask";
import { bytes, percent, printable } from "./format";

// A name or sentence that others wrote.
export function Foreign({ text, most }: { text: string; most?: number }) {
  return <bdi title={text.length > (most ?? 200) ? printable(text, 2000) : undefined}>{printable(text, most)}</bdi>;
}

export function Card({ title, children, tone }: { title: ComponentChildren; children: ComponentChildren; tone?: string }) {
  return (
    <section class={`card ${tone ?? ""}`}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

export function Pill({ tone, children }: { tone: "good" | "busy" | "bad" | "plain"; children: ComponentChildren }) {
  return <span class={`pill ${tone}`}>{children}</span>;
}

// How much of something is used or done.
export function Meter({ label, part, whole }: { label: string; part: number; whole: number }) {
  const share = whole > 0 ? Math.min(part / whole, 1) : 0;
  return (
    <div class="meter" role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(100 * share)}
      aria-valuetext={`${bytes(part)} of ${bytes(whole)}`}>
      <div class="meter-text">
        <span>{label}</span>
        <span>{bytes(part)} of {bytes(whole)} ({percent(part, whole)})</span>
      </div>
      <div class="track"><div class="fill" style={{ width: `${100 * share}%` }} /></div>
    </div>
  );
}

// Asks and says what came of it: nothing, or the words of the error.
export function useAction(): { busy: boolean; problem: string; run: (work: () => Promise<void>) => void } {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState("");
  const run = (work: () => Promise<void>) => {
    setBusy(true);
    setProblem("");
    work().catch((error) => setProblem(wordsOf(error))).finally(() => setBusy(false));
  };
  return { busy, problem, run };
}

export function Problem({ text }: { text: string }) {
  return text ? <p class="problem" role="alert">{printable(text, 1000)}</p> : null;
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const [said, say] = useState("");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      say("Mark it and copy by hand");
    }
    setTimeout(() => say(""), 2000);
  };
  return <button type="button" class="quiet" onClick={copy}><span aria-live="polite">{said || label}</span></button>;
}

// A dialog that keeps the focus; Escape closes it.
export function Dialog({ title, close, children }: { title: string; close: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-label={title} onClose={close}>
      <h2>{title}</h2>
      {children}
    </dialog>
  );
}
