// The models that are loaded, and how far.
import { useState } from "preact/hooks";
import { ask } from "../ask";
import { plural, printable } from "../format";
import type { Home, Model } from "../home_state";
import { Card, Dialog, Foreign, Meter, Pill, Problem, useAction } from "../parts";
import type { Store } from "../store";

const STATES = {
  MODEL_STATE_READY: ["good", "ready"],
  MODEL_STATE_LOADING: ["busy", "loading"],
  MODEL_STATE_FAILED: ["bad", "failed"],
  MODEL_STATE_UNLOADING: ["busy", "unloading"],
  MODEL_STATE_UNSPECIFIED: ["plain", "unknown"],
} as const;

function ModelCard({ model, mayUnload, unload }: { model: Model; mayUnload: boolean; unload: () => void }) {
  const [tone, word] = STATES[model.state] ?? STATES.MODEL_STATE_UNSPECIFIED;
  const facts = [model.architecture, model.quantisation, model.sparsity, model.context_length > 0 ? `context ${model.context_length}` : "",
    model.vocabulary_size > 0 ? `${model.vocabulary_size} tokens known` : ""].filter((fact) => fact);
  return (
    <article class="card model" aria-label={`Model ${printable(model.name)}`}>
      <header>
        <h3><Foreign text={model.name} most={80} /></h3>
        <Pill tone={tone}>{word}</Pill>
      </header>
      <p class="faint">{facts.map((fact) => printable(fact, 60)).join(" · ")}</p>
      {model.state === "MODEL_STATE_LOADING" && <Meter label="Loaded" part={model.bytes_done} whole={model.bytes_total} />}
      {model.detail && <p class={model.state === "MODEL_STATE_FAILED" ? "problem" : ""}><Foreign text={model.detail} most={1000} /></p>}
      <p class="faint path"><Foreign text={model.path} most={300} /></p>
      {mayUnload && model.state !== "MODEL_STATE_UNLOADING" && (
        <button type="button" class="quiet" onClick={unload}>Unload<span class="hidden"> {printable(model.name)}</span></button>
      )}
    </article>
  );
}

function LoadForm() {
  const [path, setPath] = useState("");
  const [name, setName] = useState("");
  const { busy, problem, run } = useAction();
  const load = (event: Event) => {
    event.preventDefault();
    run(async () => {
      await ask("/dashboard/load", { path: path.trim(), name: name.trim() });
      setPath("");
      setName("");
    });
  };
  return (
    <Card title="Load a model">
      <form onSubmit={load} class="fields">
        <label class="field wide">File on the coordinator's machine
          <input value={path} onInput={(event) => setPath(event.currentTarget.value)} placeholder="/var/lib/hearth/models/model.gguf" required
            autocomplete="off" spellcheck={false} />
        </label>
        <label class="field">Name (optional)
          <input value={name} onInput={(event) => setName(event.currentTarget.value)} autocomplete="off" spellcheck={false} />
        </label>
        <button disabled={busy || !path.trim()}>{busy ? "Asking…" : "Load"}</button>
      </form>
      <Problem text={problem} />
    </Card>
  );
}

function UnloadDialog({ name, close }: { name: string; close: () => void }) {
  const { busy, problem, run } = useAction();
  return (
    <Dialog title={`Unload ${printable(name, 60)}?`} close={close}>
      <p>Its memory is freed on all hosts; answers that are under way end.</p>
      <Problem text={problem} />
      <form method="dialog" class="buttons">
        <button type="button" class="danger" disabled={busy} onClick={() => run(async () => {
          await ask("/dashboard/unload", { name });
          close();
        })}>Unload it</button>
        <button class="quiet">Keep it</button>
      </form>
    </Dialog>
  );
}

export function ModelsPage({ store, home }: { store: Store; home: Home }) {
  const [leaving, unload] = useState("");
  const models = home.models.models;
  const mayChange = store.admin && store.coordinator;
  return (
    <>
      <h2>{models.length === 0 ? "No model is loaded" : plural(models.length, "model")}</h2>
      <div class="grid">
        {models.map((model) => <ModelCard key={model.name} model={model} mayUnload={mayChange} unload={() => unload(model.name)} />)}
      </div>
      {mayChange ? <LoadForm /> : <p class="empty">Models are loaded on the coordinator's machine: open the dashboard there, or run `hearth load FILE`.</p>}
      {leaving && <UnloadDialog name={leaving} close={() => unload("")} />}
    </>
  );
}
