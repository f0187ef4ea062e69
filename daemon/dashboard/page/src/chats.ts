// Conversations, kept in this browser and nowhere else: each under a key of its own, so that two pages do not
// overwrite one another's.

export interface Message {
  role: "user" | "assistant";
  content: string;
  reasoning?: string;
  // How the answer ended or went: "stopped", "cut off at …", "12.3 tok/s".
  note?: string;
}

export interface Chat {
  id: string;
  time: number; // of the last change, ms since 1970
  model: string;
  system: string;
  // Whether the model continues a text instead of answering, since it has no template.
  continues: boolean;
  messages: Message[];
}

const PREFIX = "hearth.chat.";
const KEPT = 50;

export function newChat(model: string): Chat {
  const id = `${Date.now().toString(36)}-${crypto.getRandomValues(new Uint32Array(1))[0]!.toString(36)}`;
  return { id, time: Date.now(), model, system: "", continues: false, messages: [] };
}

export function titleOf(chat: Chat): string {
  return chat.messages.find((message) => message.role === "user")?.content.trim().slice(0, 60) || "New chat";
}

function isMessage(value: any): value is Message {
  return (value?.role === "user" || value?.role === "assistant") && typeof value.content === "string" &&
    ["undefined", "string"].includes(typeof value.reasoning) && ["undefined", "string"].includes(typeof value.note);
}

function read(key: string): Chat | null {
  try {
    const chat = JSON.parse(localStorage.getItem(key) ?? "");
    const whole = PREFIX + chat.id === key && Number.isFinite(chat.time) && typeof chat.model === "string" &&
      typeof chat.system === "string" && Array.isArray(chat.messages) && chat.messages.every(isMessage);
    return whole ? { ...chat, continues: chat.continues === true } : null;
  } catch {
    return null;
  }
}

// All that are kept, the newest first.
export function loadChats(): Chat[] {
  const keys: string[] = [];
  try {
    for (let i = 0; i < localStorage.length; ++i) {
      const key = localStorage.key(i);
      if (key?.startsWith(PREFIX)) keys.push(key);
    }
  } catch {
    return []; // the browser keeps nothing
  }
  return keys.map(read).filter((chat) => chat !== null).sort((a, b) => b.time - a.time);
}

export function removeChat(id: string) {
  try {
    localStorage.removeItem(PREFIX + id);
  } catch {
    // Then it was not kept.
  }
}

// False where the browser keeps nothing. The oldest make room.
export function saveChat(chat: Chat): boolean {
  const others = loadChats().filter((other) => other.id !== chat.id);
  for (const old of others.splice(KEPT - 1)) removeChat(old.id);
  for (;;) {
    try {
      localStorage.setItem(PREFIX + chat.id, JSON.stringify(chat));
      return true;
    } catch {
      const oldest = others.pop();
      if (!oldest) return false;
      removeChat(oldest.id);
    }
  }
}
