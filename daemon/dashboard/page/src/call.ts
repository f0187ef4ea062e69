// Requests to the daemon, with the key by which it knows who looks, where it asks for one.

const NAME = "hearth.key";

let key = "";
try {
  key = sessionStorage.getItem(NAME) ?? "";
} catch {
  // Then it is for as long as the page is open.
}
let refused: (words: string) => void = () => {};

export function setKey(given: string) {
  key = given;
  try {
    sessionStorage.setItem(NAME, key);
  } catch {
    // As above.
  }
}

// `tell` hears why the daemon did not take the key, or the want of one.
export function onRefused(tell: (words: string) => void) {
  refused = tell;
}

// The words of an answer that is an error.
export async function problemOf(answer: Response): Promise<string> {
  const text = await answer.text().catch(() => "");
  try {
    return JSON.parse(text).error.message;
  } catch {
    return text.slice(0, 500) || `hearthd answered ${answer.status}`;
  }
}

// As fetch.
export async function call(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  const answer = await fetch(path, { ...init, headers });
  if (answer.status === 401) refused(key ? await problemOf(answer.clone()) : "");
  return answer;
}

export interface ServerEvent {
  name: string;
  data: string;
}

// Server-sent events, each with its data in one line.
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const event = { name: "message", data: "" };
      for (const line of text.slice(0, end).split("\n")) {
        if (line.startsWith("event: ")) event.name = line.slice(7);
        if (line.startsWith("data: ")) event.data = line.slice(6);
      }
      yield event;
    }
  }
}
