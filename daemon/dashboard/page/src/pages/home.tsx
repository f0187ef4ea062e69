// Hosts, devices and links as they are now, and whether anything is wrong.
import { useState } from "preact/hooks";
import { ask } from "../ask";
import { ago, bytes, milliseconds, operations, percent, plural, printable, speed } from "../format";
import { sum, tokensOf, type Device, type Home, type Host, type Link, type Plan, type Transfer } from "../home_state";
import { Card, CopyButton, Dialog, Foreign, Meter, Pill, Problem, useAction } from "../parts";
import type { Store } from "../store";
import { troublesOf, verdict } from "../troubles";

const STATES = {
  HOST_STATE_ALIVE: ["good", "working"],
  HOST_STATE_JOINING: ["busy", "joining"],
  HOST_STATE_LOST: ["bad", "lost"],
  HOST_STATE_UNSPECIFIED: ["plain", "unknown"],
} as const;

function Verdict({ home, store }: { home: Home; store: Store }) {
  const troubles = troublesOf(home, store.figures);
  if (troubles.length === 0) return <p class="verdict good" role="status"><strong>All is well.</strong> {verdict(home)}</p>;
  return (
    <div class={`verdict ${troubles[0]!.grave ? "bad" : "busy"}`} role="status">
      <strong>{plural(troubles.length, "thing")} to look at.</strong> {verdict(home)}
      <ul>
        {troubles.map((trouble) => <li key={trouble.what}>{trouble.what} {trouble.todo}</li>)}
      </ul>
    </div>
  );
}

const KINDS: Record<string, string> = { cpu: "Processor", gpu: "Graphics card", "emulated-gpu": "Emulated graphics card" };

function DeviceRow({ device }: { device: Device }) {
  const facts = [device.threads > 0 ? plural(device.threads, "thread") : "", `reads ${speed(device.read_bytes_per_second)}`,
    operations(device.operations_per_second)].filter((fact) => fact && !fact.endsWith("–"));
  return (
    <li class="device">
      <div class="device-head">
        <strong><Foreign text={device.name} most={40} /></strong>
        <span>{KINDS[device.kind] ?? printable(device.kind)}</span>
        <span class="faint">{facts.join(" · ")}</span>
      </div>
      <Meter label="Weights" part={device.memory_used_bytes} whole={device.memory_budget_bytes} />
    </li>
  );
}

// What a host has of each model's weights, and how long it is waited for.
function sharesOf(host: Host, plans: Plan[]): string[] {
  return plans.flatMap((plan) => {
    const own = plan.shares.filter((share) => share.host === host.name);
    const held = sum(own.map((share) => share.weight_bytes));
    if (!plan.active || held === 0) return [];
    const tokens = tokensOf(own);
    const waited = sum(own.map((share) => share.wait_us)) / 1000;
    const wait = tokens > 0 && waited > 0 ? `, waited for ${milliseconds(waited / tokens)} per token` : "";
    return [`${percent(held, sum(plan.shares.map((share) => share.weight_bytes)))} of ${printable(plan.model, 60)}${wait}`];
  });
}

function HostCard({ host, plans, store, forget }: { host: Host; plans: Plan[]; store: Store; forget: (host: Host) => void }) {
  const [tone, word] = STATES[host.state] ?? STATES.HOST_STATE_UNSPECIFIED;
  return (
    <article class="card host" aria-label={`Host ${printable(host.name)}`}>
      <header>
        <h3><Foreign text={host.name} most={48} /></h3>
        <Pill tone={tone}>{word}</Pill>
      </header>
      <p class="faint">
        {host.coordinator ? "Coordinator" : `Worker, heard of ${ago(host.last_sync_ms)}`} · {plural(host.cores, "core")} ·{" "}
        {bytes(host.memory_free_bytes)} of {bytes(host.memory_bytes)} free · Hearth {printable(host.version, 30)}
      </p>
      {host.detail && <p><Foreign text={host.detail} most={500} /></p>}
      <ul class="devices">{host.devices.map((device) => <DeviceRow key={device.name} device={device} />)}</ul>
      {host.state === "HOST_STATE_ALIVE" && sharesOf(host, plans).map((text) => <p key={text} class="share">{text}</p>)}
      {host.weights_fetched_bytes > 0 && <p class="faint">{bytes(host.weights_fetched_bytes)} of weights fetched</p>}
      {store.admin && store.coordinator && !host.coordinator && (
        <button type="button" class="quiet" onClick={() => forget(host)}>Forget<span class="hidden"> {printable(host.name)}</span></button>
      )}
    </article>
  );
}

function Links({ links }: { links: Link[] }) {
  return (
    <Card title="Links">
      <div class="scroll" tabIndex={0} role="region" aria-label="Links">
        <table>
          <thead><tr><th scope="col">Between</th><th scope="col" class="number">Round trip</th><th scope="col" class="number">Bandwidth</th></tr></thead>
          <tbody>
            {links.map((link) => (
              <tr key={`${link.from}\n${link.to}`}>
                <th scope="row"><Foreign text={link.from} most={40} /> and <Foreign text={link.to} most={40} /></th>
                <td class="number">{milliseconds(link.round_trip_us / 1000)}</td>
                <td class="number">{speed(link.bytes_per_second)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function Transfers({ transfers }: { transfers: Transfer[] }) {
  return (
    <Card title="Weights on their way">
      {transfers.map((transfer) => (
        <Meter key={`${transfer.host}\n${transfer.model}`} label={`${printable(transfer.model, 60)} to ${printable(transfer.host, 60)}`}
          part={transfer.bytes_done} whole={transfer.bytes_total} />
      ))}
    </Card>
  );
}

interface Invitation {
  code: string;
  addresses: string[];
}

function InviteDialog({ close }: { close: () => void }) {
  const [invitation, setInvitation] = useState<Invitation | null>(null);
  const { busy, problem, run } = useAction();
  const command = invitation ? `hearthd --join ${invitation.code}` : "";
  return (
    <Dialog title="Add a machine" close={close}>
      <p>A code lets one machine join this home, once, within an hour. It opens Hearth's encrypted port to the local network.</p>
      {invitation && (
        <>
          <p>Run this on the new machine:</p>
          <pre class="code" tabIndex={0}><code>{command}</code></pre>
          <p class="faint">It calls {invitation.addresses.map((address) => printable(address, 80)).join(", ")}.</p>
        </>
      )}
      <Problem text={problem} />
      <form method="dialog" class="buttons">
        {invitation ? <CopyButton text={command} label="Copy the command" /> : (
          <button type="button" disabled={busy} onClick={() => run(async () => setInvitation(await ask("/dashboard/invite", {})))}>
            Make a code
          </button>
        )}
        <button class="quiet">Close</button>
      </form>
    </Dialog>
  );
}

function ForgetDialog({ host, close }: { host: Host; close: () => void }) {
  const { busy, problem, run } = useAction();
  return (
    <Dialog title={`Forget ${printable(host.name, 60)}?`} close={close}>
      <p>Its certificate is taken back at once, and what it holds is computed elsewhere. To come back it needs a new code.</p>
      <Problem text={problem} />
      <form method="dialog" class="buttons">
        <button type="button" class="danger" disabled={busy} onClick={() => run(async () => {
          await ask("/dashboard/forget", { member: host.name });
          close();
        })}>Forget it</button>
        <button class="quiet">Keep it</button>
      </form>
    </Dialog>
  );
}

export function HomePage({ store, home }: { store: Store; home: Home }) {
  const [inviting, invite] = useState(false);
  const [forgetting, forget] = useState<Host | null>(null);
  return (
    <>
      <Verdict home={home} store={store} />
      <div class="row">
        <h2>Hosts</h2>
        {store.admin && store.coordinator && <button type="button" onClick={() => invite(true)}>Add a machine</button>}
      </div>
      <div class="grid">
        {home.cluster.hosts.map((host) => <HostCard key={host.name} host={host} plans={home.cluster.plans} store={store} forget={forget} />)}
      </div>
      {home.cluster.links.length > 0 && <Links links={home.cluster.links} />}
      {home.cluster.transfers.length > 0 && <Transfers transfers={home.cluster.transfers} />}
      {inviting && <InviteDialog close={() => invite(false)} />}
      {forgetting && <ForgetDialog host={forgetting} close={() => forget(null)} />}
    </>
  );
}
