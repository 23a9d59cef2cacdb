// A React app: avatars of the users who are online, and direct messages between them.
//
// A user with several tabs has one avatar, and a direct message reaches every tab.
// The server handles /login, /join, /who and /dm in crates/server/src/apps/demo.rs.

import { StrictMode, useEffect, useState, type FormEvent } from "react";
import { createRoot } from "react-dom/client";
import { EmitClient } from "switchboard-sdk/client";
import { SwitchboardProvider, useConnectionState, useEvent, useRequest } from "switchboard-sdk/react";

import { byId, hueOf, initials, myName, STATES } from "../shared/page.js";

const ROOM = "example-presence";

/** A user and the number of tabs. */
interface User {
  name: string;
  tabs: number;
}

/** A tab. */
interface Member {
  username: string;
}

interface Message {
  from: string;
  text: string;
}

/** Direct messages, and the number of unread ones. */
interface Conversation {
  messages: Message[];
  unread: number;
}

/** The conversations by the name of the other user. A map, because a user may be called `constructor`. */
type Conversations = ReadonlyMap<string, Conversation>;

function App() {
  const [me, setMe] = useState(sessionStorage.getItem("user") ?? "");
  const logIn = (name: string) => {
    sessionStorage.setItem("user", name);
    setMe(name);
  };
  return (
    <>
      <TopBar />
      {me ? <Office me={me} /> : <Login onLogin={logIn} />}
    </>
  );
}

function Login({ onLogin }: { onLogin: (name: string) => void }) {
  const [name, setName] = useState(myName);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (name.trim()) onLogin(name.trim());
  };
  return (
    <form className="login card" onSubmit={submit}>
      <Avatar name={name} size="large" />
      <h2>Log in</h2>
      <p className="hint">This demo accepts any name. A real application would check a token.</p>
      <input className="field" aria-label="Your name" maxLength={24} value={name} onChange={(event) => setName(event.target.value)} />
      <button className="button">Log in</button>
    </form>
  );
}

function Office({ me }: { me: string }) {
  const users = useUsers(me);
  const isConnected = useConnectionState() === "connected";
  const [conversations, setConversations] = useState<Conversations>(new Map());
  const [open, setOpen] = useState<string>();

  const change = (other: string, change: (before: Conversation) => Conversation) =>
    setConversations((all) => new Map(all).set(other, change(all.get(other) ?? { messages: [], unread: 0 })));
  const add = (other: string, message: Message) =>
    change(other, ({ messages, unread }) => ({ messages: [...messages, message], unread: other === open ? 0 : unread + 1 }));
  useEvent<Message>("dm", (message) => add(message.from, message));

  const choose = (other: string) => {
    setOpen(other);
    if (conversations.has(other)) change(other, ({ messages }) => ({ messages, unread: 0 }));
  };

  // Users with a conversation stay listed after they leave, without the green dot.
  const others = users.filter(({ name }) => name !== me);
  const away = [...conversations.keys()].filter((name) => !others.some((user) => user.name === name));
  return (
    <main className="office">
      <section className="people" aria-labelledby="people-title">
        <h2 id="people-title">Here now</h2>
        <Stack users={users} />
        <ul aria-label="Online users">
          <Row user={{ name: me, tabs: users.find(({ name }) => name === me)?.tabs ?? 1 }} note="you" />
          {others.map((user) => (
            <Row key={user.name} user={user} unread={conversations.get(user.name)?.unread ?? 0} isOpen={open === user.name} onOpen={choose} />
          ))}
          {away.map((name) => (
            <Row key={name} user={{ name, tabs: 0 }} unread={conversations.get(name)?.unread ?? 0} isOpen={open === name} onOpen={choose} />
          ))}
        </ul>
        {isConnected && others.length === 0 && <p className="hint">No other users. Open this page in another tab and log in with another name.</p>}
      </section>
      {open === undefined ? (
        <section className="thread card is-empty">
          <p className="hint">Select a user to send direct messages.</p>
        </section>
      ) : (
        <Thread key={open} other={open} messages={conversations.get(open)?.messages ?? []} onSent={(text) => add(open, { from: me, text })} />
      )}
    </main>
  );
}

/**
 * Returns the online users by name; none while disconnected. Logs in and joins at every connect, and
 * requests the member list again at every change.
 */
function useUsers(me: string): User[] {
  const state = useConnectionState();
  const login = useRequest("/login").send;
  const join = useRequest("/join").send;
  const requestMembers = useRequest<{ members: Member[] }>("/who").send;
  const [members, setMembers] = useState<Member[]>([]);
  // The server handles the events of a connection in order. A failed request is repeated at the next connect.
  const refresh = () => requestMembers({ room: ROOM }).then(({ members }) => setMembers(members), () => {});
  useEffect(() => {
    // The list is outdated while disconnected.
    if (state !== "connected") return setMembers([]);
    login({ userId: me }).catch(() => {});
    join({ room: ROOM, username: me }).catch(() => {});
    void refresh();
  }, [state, me]);
  useEvent("user-joined", refresh);
  useEvent("user-left", refresh);

  const tabs = new Map<string, number>();
  for (const { username } of members) tabs.set(username, (tabs.get(username) ?? 0) + 1);
  return [...tabs].map(([name, tabs]) => ({ name, tabs })).sort((a, b) => a.name.localeCompare(b.name));
}

function Thread({ other, messages, onSent }: { other: string; messages: Message[]; onSent: (text: string) => void }) {
  const [text, setText] = useState("");
  const { send, error } = useRequest("/dm");
  // Requests fail while disconnected.
  const isConnected = useConnectionState() === "connected";
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!text.trim()) return;
    try {
      await send({ to: other, text });
      onSent(text);
      setText("");
    } catch {
      // The text stays in the field, and `error` shows the failure.
    }
  };
  return (
    <section className="thread card" aria-label={`Messages with ${other}`}>
      <header>
        <Avatar name={other} />
        <h2><bdi>{other}</bdi></h2>
      </header>
      <ol role="log" aria-label="Direct messages" tabIndex={0}>
        {messages.map(({ from, text }, index) => (
          <li key={index} className={from === other ? "" : "is-mine"}>{text}</li>
        ))}
      </ol>
      <form onSubmit={submit}>
        <input className="field" aria-label="Message" placeholder={`To ${other}`} maxLength={2000} autoComplete="off" value={text} onChange={(event) => setText(event.target.value)} autoFocus />
        <button className="button" disabled={!isConnected}>Send</button>
        {error !== undefined && <p className="hint" role="alert">Not sent; try again.</p>}
      </form>
    </section>
  );
}

function TopBar() {
  const state = useConnectionState();
  useEffect(() => {
    document.documentElement.dataset["connection"] = state;
  }, [state]);
  return (
    <header className="top">
      <a className="home" href="../" title="All examples"><img src="/favicon.svg" alt="All examples" /></a>
      <h1>Presence</h1>
      <span className="state" role="status">{STATES[state]}</span>
      <nav><a href="main.tsx.txt">Source</a></nav>
    </header>
  );
}

/** The avatars in a row, overlapping. */
function Stack({ users }: { users: User[] }) {
  return (
    <div className="stack" aria-hidden="true">
      {users.slice(0, 7).map(({ name }) => <Avatar key={name} name={name} />)}
      {users.length > 7 && <span className="more">+{users.length - 7}</span>}
    </div>
  );
}

interface RowProps {
  user: User;
  note?: string;
  unread?: number;
  isOpen?: boolean;
  onOpen?: (name: string) => void;
}

function Row({ user: { name, tabs }, note, unread = 0, isOpen = false, onOpen }: RowProps) {
  const content = (
    <>
      <span className={`presence ${tabs ? "is-here" : ""}`}><Avatar name={name} /></span>
      <bdi>{name}</bdi>
      <span className="you">{note}{tabs > 1 && ` ${tabs} tabs`}{tabs === 0 && "away"}</span>
      {unread > 0 && <span className="unread" aria-label={`${unread} unread`}>{unread}</span>}
    </>
  );
  return (
    <li>
      {onOpen ? <button className="person" aria-current={isOpen} onClick={() => onOpen(name)}>{content}</button> : <div className="person">{content}</div>}
    </li>
  );
}

function Avatar({ name, size = "" }: { name: string; size?: string }) {
  return <span className={`badge ${size}`} style={{ "--hue": hueOf(name) } as React.CSSProperties} aria-hidden="true">{initials(name)}</span>;
}

const client = new EmitClient("/", { reconnect: true, maxRetries: Infinity });
createRoot(byId("app")).render(
  <StrictMode>
    <SwitchboardProvider client={client}>
      <App />
    </SwitchboardProvider>
  </StrictMode>,
);
