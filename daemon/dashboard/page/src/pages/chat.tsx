// Talking to a model. Conversations stay in this browser.
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { wordsOf } from "../ask";
import { loadChats, newChat, removeChat, saveChat, titleOf, type Chat, type Message } from "../chats";
import { digits, printable } from "../format";
import { generate, NoTemplate } from "../generation";
import type { Home } from "../home_state";
import { Markdown } from "../markdown";
import { CopyButton, Problem } from "../parts";

const REASONS: Record<string, string> = { length: "ended by the length limit" };

// One answer that is being written; who goes to another page stops it.
interface Writing {
  chat: Chat;
  stop: AbortController;
}

function useConversation(models: string[]) {
  const [chats, setChats] = useState(loadChats);
  const [chat, setChat] = useState<Chat>(() => chats[0] ?? newChat(models[0] ?? ""));
  const [problem, setProblem] = useState("");
  const [noTemplate, setNoTemplate] = useState(false);
  const [busy, setBusy] = useState(false);
  const [kept, setKept] = useState(true);
  const writing = useRef<Writing | null>(null);
  useEffect(() => () => writing.current?.stop.abort(), []);

  const show = (changed: Chat) => setChat({ ...changed, messages: [...changed.messages] });
  const keep = (changed: Chat) => {
    setKept(saveChat({ ...changed, time: Date.now() }));
    setChats(loadChats());
  };
  const clear = () => {
    setProblem("");
    setNoTemplate(false);
  };

  async function write(asked: Chat, mostTokens: number) {
    const stop = new AbortController();
    const message: Message = { role: "assistant", content: "" };
    const answered: Chat = { ...asked, messages: [...asked.messages, message] };
    writing.current = { chat: answered, stop };
    clear();
    setBusy(true);
    show(answered);
    keep(asked);
    const drawn = { due: false };
    const draw = () => {
      if (drawn.due) return;
      drawn.due = true;
      requestAnimationFrame(() => {
        drawn.due = false;
        if (writing.current?.chat === answered) show(answered);
      });
    };
    let first = 0, reason = "", tokens = 0;
    try {
      for await (const piece of generate(asked, mostTokens, stop.signal)) {
        if (piece.content || piece.reasoning) first ||= performance.now();
        message.content += piece.content;
        if (piece.reasoning) message.reasoning = (message.reasoning ?? "") + piece.reasoning;
        reason = piece.reason ?? reason;
        tokens = piece.tokens ?? tokens;
        draw();
      }
      const seconds = (performance.now() - first) / 1000;
      const pace = tokens > 1 && seconds > 0 ? `${digits((tokens - 1) / seconds)} tok/s` : "";
      message.note = [pace, REASONS[reason] ?? ""].filter((part) => part).join(", ");
    } catch (error) {
      message.note = stop.signal.aborted ? "stopped" : "broken off";
      if (!stop.signal.aborted) setProblem(wordsOf(error));
      if (error instanceof NoTemplate) setNoTemplate(true);
    }
    const nothing = !message.content && !message.reasoning;
    const result = nothing ? asked : answered;
    if (writing.current?.chat === answered) {
      writing.current = null;
      setBusy(false);
      show(result);
    }
    keep(result);
  }

  return {
    chats, chat, problem, noTemplate, busy, kept, write,
    stop: () => writing.current?.stop.abort(),
    change: (part: Partial<Chat>) => show({ ...chat, ...part }),
    open: (other: Chat) => {
      writing.current?.stop.abort();
      writing.current = null;
      setBusy(false);
      clear();
      show(other);
    },
    remove: (id: string) => {
      removeChat(id);
      setChats(loadChats());
    },
  };
}

function Edit({ text, done, cancel }: { text: string; done: (text: string) => void; cancel: () => void }) {
  const [value, setValue] = useState(text);
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  return (
    <form class="edit" onSubmit={(event) => {
      event.preventDefault();
      done(value);
    }}>
      <textarea ref={area} aria-label="Your message" value={value} rows={3} onInput={(event) => setValue(event.currentTarget.value)}
        onKeyDown={(event) => event.key === "Escape" && cancel()} />
      <div class="buttons">
        <button disabled={!value.trim()}>Send anew</button>
        <button type="button" class="quiet" onClick={cancel}>Cancel</button>
      </div>
    </form>
  );
}

function MessageView({ message, busy, last, again, edit }: {
  message: Message; busy: boolean; last: boolean; again: () => void; edit: (text: string) => void;
}) {
  const [editing, setEditing] = useState(false);
  const own = message.role === "user";
  const written = busy && last;
  return (
    <article class={`message ${message.role}`} aria-label={own ? "You" : "Answer"} aria-busy={written}>
      {message.reasoning && (
        <details open={written && !message.content}><summary>Reasoning</summary><p class="plain">{message.reasoning}</p></details>
      )}
      {editing ? (
        <Edit text={message.content} cancel={() => setEditing(false)} done={(text) => {
          setEditing(false);
          edit(text);
        }} />
      ) : own ? <p class="plain">{message.content}</p> : <Markdown text={message.content} />}
      {written && !message.content && !message.reasoning && <p class="faint waiting">Reading…</p>}
      {!written && !editing && (
        <footer>
          {message.note && <span class="faint">{message.note}</span>}
          <CopyButton text={message.content} />
          {own && <button type="button" class="quiet" disabled={busy} onClick={() => setEditing(true)}>Edit</button>}
          {!own && last && <button type="button" class="quiet" disabled={busy} onClick={again}>Again</button>}
        </footer>
      )}
    </article>
  );
}

// Follows what is written as long as the reader is at the end.
function useFollow(chat: Chat) {
  const end = useRef(true);
  useEffect(() => {
    const look = () => {
      end.current = innerHeight + scrollY >= document.documentElement.scrollHeight - 80;
    };
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, []);
  useLayoutEffect(() => {
    if (end.current && chat.messages.length > 0) scrollTo({ top: document.documentElement.scrollHeight });
  }, [chat]);
}

export function ChatPage({ home }: { home: Home }) {
  const models = home.models.models.filter((model) => model.state === "MODEL_STATE_READY").map((model) => model.name);
  const talk = useConversation(models);
  const { chat, busy } = talk;
  const [text, setText] = useState("");
  const [mostTokens, setMostTokens] = useState(0);
  const input = useRef<HTMLTextAreaElement>(null);
  useFollow(chat);
  useEffect(() => {
    if (models.length > 0 && !models.includes(chat.model) && !busy) talk.change({ model: models[0]! });
  }, [models.join("\n"), chat.model, busy]);

  const say = (content: string, after: Message[]) => {
    if (!content.trim() || busy) return;
    void talk.write({ ...chat, messages: [...after, { role: "user", content }] }, mostTokens);
  };
  const send = () => {
    if (!text.trim() || busy) return;
    setText("");
    say(text, chat.messages);
  };
  const again = (continues = chat.continues) => {
    const end = chat.messages.findLastIndex((message) => message.role === "user") + 1;
    void talk.write({ ...chat, continues, messages: chat.messages.slice(0, end) }, mostTokens);
  };
  const others = talk.chats.filter((other) => other.messages.length > 0);

  return (
    <div class="chat">
      <div class="row chat-bar">
        <label class="field">Model
          <select value={chat.model} disabled={busy || models.length === 0} onChange={(event) => talk.change({ model: event.currentTarget.value })}>
            {models.map((name) => <option key={name} value={name}>{printable(name, 80)}</option>)}
            {models.length === 0 && <option value="">none is ready</option>}
          </select>
        </label>
        <button type="button" class="quiet" onClick={() => {
          talk.open(newChat(chat.model));
          input.current?.focus();
        }}>New chat</button>
      </div>
      <div class="chat-side">
        <details class="card">
          <summary>Settings</summary>
          <label class="field">Who the model is (system message)
            <textarea rows={2} value={chat.system} onInput={(event) => talk.change({ system: event.currentTarget.value })} />
          </label>
          <label class="field">Most tokens of an answer (0: as many as fit)
            <input type="number" min={0} max={1000000} value={mostTokens}
              onInput={(event) => setMostTokens(Math.max(0, Math.floor(Number(event.currentTarget.value) || 0)))} />
          </label>
          <label class="check"><input type="checkbox" checked={chat.continues}
            onChange={(event) => talk.change({ continues: event.currentTarget.checked })} /> Continue my text instead of answering it</label>
        </details>
        {others.length > 0 && (
          <details class="card">
            <summary>Kept in this browser ({others.length})</summary>
            <ul class="chats">
              {others.map((other) => (
                <li key={other.id}>
                  <button type="button" class="link" aria-current={other.id === chat.id ? "true" : undefined} onClick={() => talk.open(other)}>
                    <bdi>{printable(titleOf(other), 60)}</bdi>
                  </button>
                  <button type="button" class="quiet" onClick={() => {
                    talk.remove(other.id);
                    if (other.id === chat.id) talk.open(newChat(chat.model));
                  }}>Delete<span class="hidden"> {printable(titleOf(other), 60)}</span></button>
                </li>
              ))}
            </ul>
          </details>
        )}
      </div>
      <div class="messages">
        {chat.messages.length === 0 && (
          <p class="empty">{models.length === 0 ? "No model is ready yet." : "Ask something. What is said stays on your machines."}</p>
        )}
        {chat.messages.map((message, i) => (
          <MessageView key={`${chat.id} ${i}`} message={message} busy={busy} last={i === chat.messages.length - 1}
            again={() => again()} edit={(content) => say(content, chat.messages.slice(0, i))} />
        ))}
      </div>
      <Problem text={talk.problem} />
      {talk.noTemplate && <p><button type="button" onClick={() => again(true)}>Continue the text instead</button></p>}
      {!talk.kept && <p class="faint">This browser keeps no conversations: it has no room, or is told not to.</p>}
      <form class="say" onSubmit={(event) => {
        event.preventDefault();
        send();
      }}>
        <textarea ref={input} aria-label="Message" placeholder="Message" rows={2} value={text} onInput={(event) => setText(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }} />
        {busy ? <button key="stop" type="button" class="danger" onClick={talk.stop}>Stop</button>
          : <button key="send" disabled={!text.trim() || models.length === 0}>Send</button>}
      </form>
      <p class="hidden" role="status">{busy ? "The answer is being written" : chat.messages.at(-1)?.role === "assistant" ? "The answer is complete" : ""}</p>
    </div>
  );
}
