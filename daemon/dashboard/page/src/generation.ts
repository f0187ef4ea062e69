// Text from a model, piece by piece, by the daemon's OpenAI-compatible API.
import { call, eventsOf, problemOf } from "./call";
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
  const answer = await call(path, {
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
  for await (const { data } of eventsOf(answer.body)) {
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
