// What all pages share: the links, the state of the connection, the keys.
import { useEffect, useState } from "preact/hooks";
import { AgentsPage } from "./agents/agents_page";
import type { Session } from "./app";
import { BrokerPage } from "./broker/broker_page";
import { InboxPage } from "./inbox/inbox_page";
import { BoardPage } from "./mailboxes/board_page";
import { MailboxPage } from "./mailboxes/mailbox_page";
import { isTyping } from "./parts/keys";
import { useObserved } from "./parts/observable";

const LINKS: [string, string][] = [
  ["inbox", "Inbox"],
  ["mailboxes", "Mailboxes"],
  ["agents", "Agents"],
  ["broker", "Broker"],
];
const KEYS: [string, string][] = [
  ["j, k", "next, previous card"],
  ["a, d, e, w", "go to Approve, Deny, Edit, Answer of the card; Enter decides"],
  ["i, m, g, b", "go to Inbox, Mailboxes, Agents, Broker"],
  ["?", "show these keys"],
];

const PAGE_KEYS: Record<string, string> = { i: "inbox", m: "mailboxes", g: "agents", b: "broker" };

export function Pages({ session, onSignOut }: { session: Session; onSignOut: () => void }) {
  const { connection, inbox } = session;
  useObserved(connection);
  useObserved(inbox);
  const [page, ...rest] = useRoute();
  const [showsKeys, setShowsKeys] = useState(false);
  useEffect(() => {
    document.title = inbox.total > 0 ? `(${inbox.total}) mq9fast` : "mq9fast";
  });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      if (event.key === "?") setShowsKeys((shown) => !shown);
      if (event.key in PAGE_KEYS) location.hash = `#/${PAGE_KEYS[event.key]}`;
      if (event.key === "Escape") setShowsKeys(false);
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, []);
  return (
    <>
      <header class="top">
        <nav aria-label="Pages">
          {LINKS.map(([name, text]) => (
            <a href={`#/${name}`} key={name} aria-current={name === page ? "page" : undefined}>
              {text}
              {name === "inbox" && inbox.total > 0 && ` (${inbox.total.toLocaleString()})`}
            </a>
          ))}
        </nav>
        <p>
          {connection.user && <span>{connection.user}</span>}{" "}
          <button type="button" class="quiet" onClick={() => setShowsKeys(!showsKeys)} aria-expanded={showsKeys}>
            Keys
          </button>{" "}
          <button type="button" class="quiet" onClick={onSignOut}>
            Sign out
          </button>
        </p>
      </header>
      {!connection.isConnected && (
        <p class="notice" role="status">
          The connection is lost. The page connects again by itself; what you decide now is sent then.
        </p>
      )}
      {showsKeys && (
        <dl class="keys">
          {KEYS.map(([keys, what]) => (
            <div key={keys}>
              <dt>
                <kbd>{keys}</kbd>
              </dt>
              <dd>{what}</dd>
            </div>
          ))}
        </dl>
      )}
      <Page session={session} page={page} rest={rest} />
    </>
  );
}

function Page({ session: { connection, inbox }, page, rest }: { session: Session; page: string | undefined; rest: string[] }) {
  if (page === "mailboxes" && rest[0]) return <MailboxPage connection={connection} address={rest[0]} key={rest[0]} />;
  if (page === "mailboxes") return <BoardPage connection={connection} named={[...inbox.watches.keys()]} />;
  if (page === "agents") return <AgentsPage connection={connection} />;
  if (page === "broker") return <BrokerPage connection={connection} />;
  return <InboxPage inbox={inbox} showsDecided={rest[0] === "decided"} />;
}

// The parts of the address after #/.
function useRoute(): string[] {
  const read = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const [route, setRoute] = useState(read);
  useEffect(() => {
    const change = () => setRoute(read());
    addEventListener("hashchange", change);
    return () => removeEventListener("hashchange", change);
  }, []);
  return route[0] === "" ? ["inbox"] : route;
}
