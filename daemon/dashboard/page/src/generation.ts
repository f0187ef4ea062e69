// Text from a model, piece by piece, by the daemon's OpenAI-compatible API.
import { problemOf } from "./ask";
import type { Chat } from "./chats";

export interface Piece {
  content: string;
  reasoning: string;
  // Why it ended; null: it goes on.
  reason: string | null;
  // Tokens generated, with the last piece.
  tokens: number | null;
}

// The model cannot chat, since its file has no template.
export class NoTemplate extends Error {}

// The data of server-sent events.
async function* dataOf(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream() as unknown as TransformStream<Uint8Array, string>).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      for (const line of text.slice(0, end).split("\n")) if (line.startsWith("data: ")) yield line.slice(6);
    }
  }
}

function requestOf(chat: Chat, mostTokens: number): [string, object] {
  const asked = { model: chat.model, stream: true, stream_options: { include_usage: true } };
  if (chat.continues) {
    const prompt = chat.messages.map((message) => message.content).join("");
    return ["/v1/completions", { ...asked, prompt, max_tokens: mostTokens || 128 }];
  }
  const system = chat.system.trim() ? [{ role: "system", content: chat.system }] : [];
  const messages = [...system, ...chat.messages.map(({ role, content }) => ({ role, content }))];
  return ["/v1/chat/completions", { ...asked, messages, ...(mostTokens > 0 ? { max_tokens: mostTokens } : {}) }];
}

// What the model says after the last message. Errors have words for people. `mostTokens`: 0 for as many as fit.
export async function* generate(chat: Chat, mostTokens: number, signal: AbortSignal): AsyncGenerator<Piece> {
  const [path, request] = requestOf(chat, mostTokens);
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
    signal,
  }).catch((error) => {
    throw signal.aborted ? error : new Error("hearthd does not answer; is it running?");
  });
  if (!answer.ok || !answer.body) {
    const problem = await problemOf(answer);
    throw problem.includes("no chat template") ? new NoTemplate(problem) : new Error(problem);
  }
  for await (const data of dataOf(answer.body)) {
    if (data === "[DONE]") return;
    const event = JSON.parse(data);
    if (event.error) throw new Error(event.error.message);
    const choice = event.choices?.[0];
    yield {
      content: choice?.delta?.content ?? choice?.text ?? "",
      reasoning: choice?.delta?.reasoning_content ?? "",
      reason: choice?.finish_reason ?? null,
      tokens: event.usage?.completion_tokens ?? null,
    };
  }
  throw new Error("the answer was cut off; hearthd may have stopped");
}
