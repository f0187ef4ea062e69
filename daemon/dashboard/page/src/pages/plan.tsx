// Who holds what of a model: layers by devices, the neurons that fire most on the left; and why, in words.
import { useState } from "preact/hooks";
import { bytes, milliseconds, percent, plural, printable } from "../format";
import { sum, tokensOf, type Home, type Plan, type Share } from "../home_state";
import { Card, Foreign, Pill } from "../parts";

const WIDTH = 1000, PALEST = 0.25, MOST_ROWS = 160, TALLEST = 30, LOWEST = 6, USUAL_HEIGHT = 520;
const COLORS = 8;

const nameOf = (share: Share) => `${share.host}/${share.device}`;
const colorOf = (index: number) => `color${index % COLORS}`;

// Share of its neurons that fire, of all layers or of some; null: not yet known.
function firing(share: Share, from = 0, to = Infinity): number | null {
  const offered = sum(share.neurons_offered.slice(from, to));
  return offered > 0 ? Math.min(sum(share.neurons_computed.slice(from, to)) / offered, 1) : null;
}

interface Part {
  index: number;
  share: Share;
  neurons: number;
  firing: number | null;
}

// What devices hold of some layers, hot to cold.
function partsOf(plan: Plan, from: number, to: number): Part[] {
  return plan.shares
    .map((share, index) => ({ index, share, neurons: sum(share.neurons.slice(from, to)), firing: firing(share, from, to) }))
    .filter((part) => part.neurons > 0)
    .sort((a, b) => (b.firing ?? 0) - (a.firing ?? 0));
}

function Row({ plan, from, to, y, height }: { plan: Plan; from: number; to: number; y: number; height: number }) {
  const parts = partsOf(plan, from, to);
  const all = sum(parts.map((part) => part.neurons));
  let x = 0;
  return (
    <g>
      {parts.map((part) => {
        const width = (WIDTH * part.neurons) / all;
        const rect = (
          <rect key={part.index} class={colorOf(part.index)} x={x} y={y} width={Math.max(width - 1.5, 0.5)} height={height - 1.5} rx={2}
            fill-opacity={PALEST + (1 - PALEST) * Math.sqrt(part.firing ?? 1)}>
            <title>
              {`${to - from > 1 ? `Layers ${from} to ${to - 1}` : `Layer ${from}`}: ${printable(nameOf(part.share), 80)} holds ` +
                `${part.neurons} neurons${part.firing === null ? "" : `, ${percent(part.firing, 1)} fire`}`}
            </title>
          </rect>
        );
        x += width;
        return rect;
      })}
    </g>
  );
}

function Picture({ plan }: { plan: Plan }) {
  const merged = Math.max(1, Math.ceil(plan.layers / MOST_ROWS));
  const rows = Math.ceil(plan.layers / merged);
  const height = Math.min(TALLEST, Math.max(LOWEST, USUAL_HEIGHT / Math.max(rows, 1)));
  const marks = [...new Set([0, Math.floor(rows / 2), rows - 1])].filter((row) => row >= 0);
  const holders = plan.shares.filter((share) => sum(share.neurons) > 0).map(nameOf);
  return (
    <figure class="picture">
      <figcaption class="ends"><span>fires most</span><span class="middle">neurons of each layer</span><span>fires least</span></figcaption>
      <div class="picture-body">
        <div class="marks" aria-hidden="true">
          {marks.map((row) => <span key={row} style={{ top: `${(100 * (row + 0.5)) / rows}%` }}>{row * merged}</span>)}
        </div>
        <svg viewBox={`0 0 ${WIDTH} ${rows * height}`} preserveAspectRatio="none" style={{ height: `${rows * height}px` }} role="img"
          aria-label={`${plural(plan.layers, "layer")}, whose neurons are held by ${holders.map((name) => printable(name, 60)).join(", ")}; the table has the figures.`}>
          {Array.from({ length: rows }, (_, row) => (
            <Row key={row} plan={plan} from={row * merged} to={Math.min((row + 1) * merged, plan.layers)} y={row * height} height={height} />
          ))}
        </svg>
      </div>
    </figure>
  );
}

function Shares({ plan }: { plan: Plan }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Shares of devices">
      <table>
        <thead>
          <tr>
            <th scope="col">Device</th><th scope="col" class="number">Weights</th><th scope="col" class="number">Neurons</th>
            <th scope="col" class="number">that fire</th><th scope="col" class="number">Head groups</th>
            <th scope="col" class="number">Waited for, per token</th>
          </tr>
        </thead>
        <tbody>
          {plan.shares.map((share, index) => (
            <tr key={nameOf(share)}>
              <th scope="row"><span class={`swatch ${colorOf(index)}`} aria-hidden="true" /><Foreign text={nameOf(share)} most={60} /></th>
              <td class="number">{bytes(share.weight_bytes)}</td>
              <td class="number">{sum(share.neurons)}</td>
              <td class="number">{firing(share) === null ? "–" : percent(firing(share)!, 1)}</td>
              <td class="number">{share.head_groups}</td>
              <td class="number">{tokensOf([share]) > 0 ? milliseconds(share.wait_us / 1000 / tokensOf([share])) : "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// Lines of the explanation by the host of which they speak; the rest speak of the whole.
function reasonsOf(plan: Plan, home: Home): [string, string[]][] {
  const left = plan.explanation.split("\n").filter((line) => line.trim());
  const reasons: [string, string[]][] = [];
  for (const host of home.cluster.hosts) {
    const own = left.filter((line) => line.startsWith(`${host.name}/`) || line.startsWith(`Host ${host.name} `));
    for (const line of own) left.splice(left.indexOf(line), 1);
    if (own.length > 0) reasons.push([host.name, own]);
  }
  return left.length > 0 ? [["", left], ...reasons] : reasons;
}

function Reasons({ plan, home }: { plan: Plan; home: Home }) {
  return (
    <dl class="reasons">
      {reasonsOf(plan, home).map(([host, lines]) => (
        <div key={host}>
          <dt>{host ? <Foreign text={host} most={60} /> : "As a whole"}</dt>
          {lines.map((line) => <dd key={line}><Foreign text={line} most={2000} /></dd>)}
        </div>
      ))}
    </dl>
  );
}

// What the plan is to make fast; where that is more than one stream, what it gives.
function MadeFor({ plan }: { plan: Plan }) {
  const rate = (tokens: number) => (tokens > 0 ? `${tokens.toFixed(tokens < 10 ? 1 : 0)} tok/s` : "–");
  return (
    <>
      <div><span>Made for</span><strong>{printable(plan.objective ?? "", 40)}</strong></div>
      {plan.objective !== "latency" && (
        <div>
          <span>Which gives, of expected</span>
          <strong>{`${rate(plan.measured_tokens_per_second)} of ${rate(plan.expected_tokens_per_second)}`}</strong>
        </div>
      )}
    </>
  );
}

export function PlanPage({ home }: { home: Home }) {
  const [chosen, choose] = useState("");
  const plans = home.cluster.plans;
  const plan = plans.find((one) => one.model === chosen) ?? plans[0];
  if (!plan) return <p class="empty">There is no plan yet: a plan is made when a model is loaded.</p>;
  return (
    <>
      {plans.length > 1 && (
        <label class="field">Model
          <select value={plan.model} onChange={(event) => choose(event.currentTarget.value)}>
            {plans.map((one) => <option key={one.model} value={one.model}>{printable(one.model)}</option>)}
          </select>
        </label>
      )}
      <Card title={<><Foreign text={plan.model} most={60} /> <Pill tone={plan.active ? "good" : "busy"}>{plan.active ? "in use" : "being set up"}</Pill></>}>
        <div class="figures">
          <div><span>Plan</span><strong>{plan.epoch}</strong></div>
          <div><span>Expected per token</span><strong>{milliseconds(plan.expected_token_ms)}</strong></div>
          <div><span>Measured</span><strong>{milliseconds(plan.measured_token_ms)}</strong></div>
          <div><span>Layers</span><strong>{plan.layers}</strong></div>
          <MadeFor plan={plan} />
        </div>
        <Picture plan={plan} />
        <Shares plan={plan} />
      </Card>
      <Card title="Why it is so"><Reasons plan={plan} home={home} /></Card>
    </>
  );
}
