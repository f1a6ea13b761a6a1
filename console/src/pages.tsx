// What all pages share: the links, the state of the connection, the keys.
import { useEffect, useState } from "preact/hooks";
import type { Session } from "./app";
import { InboxPage } from "./inbox/inbox_page";
import { isTyping } from "./parts/keys";
import { useObserved } from "./parts/observable";

const LINKS: [string, string][] = [["inbox", "Inbox"]];
const KEYS: [string, string][] = [
  ["j, k", "next, previous card"],
  ["a, d, e, w", "go to Approve, Deny, Edit, Answer of the card; Enter decides"],
  ["?", "show these keys"],
];

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
      if (!isTyping(event) && event.key === "?") setShowsKeys((shown) => !shown);
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
      <InboxPage inbox={inbox} showsDecided={rest[0] === "decided"} />
    </>
  );
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
