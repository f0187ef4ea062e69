// What the page asks the daemon to do.
import { call, problemOf } from "./call";

// The answer of a call; throws an Error with words for people.
export async function ask<Answer>(path: string, body: object): Promise<Answer> {
  let answer: Response;
  try {
    answer = await call(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("hearthd does not answer; is it running?");
  }
  if (!answer.ok) throw new Error(await problemOf(answer));
  return (await answer.json()) as Answer;
}

export const wordsOf = (error: unknown) => (error instanceof Error ? error.message : String(error));
