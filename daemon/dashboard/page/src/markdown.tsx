// A model's text as people read it. What marked finds becomes elements one by one; nothing becomes HTML: tags
// that a model writes are text, pictures are links, and links lead to the web or to mail only.
import { lexer, type Token, type Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { CopyButton } from "./parts";

const LONGEST = 200_000; // longer texts stay plain
const DEEPEST = 24;

const ENTITIES: Record<string, string> = { "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&#39;": "'" };
const plain = (text: string) => text.replace(/&(amp|lt|gt|quot|#39);/g, (entity) => ENTITIES[entity]!);

function safeAddress(address: string): string | null {
  try {
    const url = new URL(address);
    return ["https:", "http:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function Address({ to, children }: { to: string; children: ComponentChildren }) {
  const address = safeAddress(to);
  if (address === null) return <span>{children}</span>;
  return <a href={address} title={address} target="_blank" rel="noopener noreferrer nofollow">{children}</a>;
}

function table(token: Tokens.Table, depth: number): ComponentChildren {
  const cells = (row: Tokens.TableCell[], Cell: "th" | "td") =>
    row.map((cell, i) => <Cell key={i} class={cell.align === "right" ? "number" : ""}>{all(cell.tokens, depth)}</Cell>);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Table">
      <table>
        <thead><tr>{cells(token.header, "th")}</tr></thead>
        <tbody>{token.rows.map((row, i) => <tr key={i}>{cells(row, "td")}</tr>)}</tbody>
      </table>
    </div>
  );
}

function code(token: Tokens.Code): ComponentChildren {
  return (
    <div class="code-block">
      <div class="code-head"><span>{(token.lang ?? "").slice(0, 30)}</span><CopyButton text={token.text} /></div>
      <pre tabIndex={0}><code>{token.text}</code></pre>
    </div>
  );
}

function listOf(token: Tokens.List, depth: number): ComponentChildren {
  const items = token.items.map((item, i) => <li key={i}>{item.task && (item.checked ? "☑ " : "☐ ")}{all(item.tokens, depth)}</li>);
  return token.ordered ? <ol start={Number(token.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function one(token: Token, depth: number): ComponentChildren {
  if (depth > DEEPEST) return token.raw;
  const inner = () => ("tokens" in token && token.tokens ? all(token.tokens, depth + 1) : plain("text" in token ? String(token.text) : token.raw));
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "paragraph":
      return <p>{inner()}</p>;
    case "heading": {
      const Heading = token.depth <= 2 ? "h3" : "h4";
      return <Heading>{inner()}</Heading>;
    }
    case "strong":
      return <strong>{inner()}</strong>;
    case "em":
      return <em>{inner()}</em>;
    case "del":
      return <del>{inner()}</del>;
    case "blockquote":
      return <blockquote>{inner()}</blockquote>;
    case "hr":
      return <hr />;
    case "br":
      return <br />;
    case "code":
      return code(token as Tokens.Code);
    case "codespan":
      return <code>{plain(token.text)}</code>;
    case "list":
      return listOf(token as Tokens.List, depth + 1);
    case "table":
      return table(token as Tokens.Table, depth + 1);
    case "link":
      return <Address to={token.href}>{inner()}</Address>;
    case "image":
      return <Address to={token.href}>{plain(token.text) || token.href}</Address>;
    case "text":
    case "escape":
      return inner();
    default: // tags, and whatever else there may be
      return token.raw;
  }
}

const all = (tokens: Token[], depth: number): ComponentChildren => tokens.map((token, i) => <Piece key={i} token={token} depth={depth} />);

function Piece({ token, depth }: { token: Token; depth: number }) {
  return <>{one(token, depth)}</>;
}

export function Markdown({ text }: { text: string }) {
  const tokens = useMemo(() => {
    try {
      return text.length > LONGEST ? null : lexer(text);
    } catch {
      return null; // nested beyond what marked can take
    }
  }, [text]);
  return <div class="markdown">{tokens === null ? <p class="plain">{text}</p> : all(tokens, 0)}</div>;
}
