// Signs in, and shows the page that the address names.
import { useEffect, useState } from "preact/hooks";
import { Inbox } from "./inbox/inbox";
import { Connection, type Credentials } from "./nats/connection";
import { asksToSignIn } from "./nats/url";
import { Pages } from "./pages";
import { NOBODY, SignIn } from "./sign_in";

export interface Session {
  connection: Connection;
  inbox: Inbox;
}

const STORED = "mq9fast.credentials";

export function App() {
  const [session, setSession] = useState<Session | null>(null);
  const [asks, setAsks] = useState(false);
  const [problem, setProblem] = useState("");

  const begin = (connection: Connection) => {
    connection.listen(() => {
      if (connection.ended) signOut(connection.ended);
    });
    setSession({ connection, inbox: new Inbox(connection) });
  };
  const signOut = (why: string) => {
    sessionStorage.removeItem(STORED);
    setSession(null);
    setProblem(why);
    setAsks(true);
  };
  useEffect(() => {
    void (async () => {
      try {
        const stored = sessionStorage.getItem(STORED);
        if (stored !== null) begin(await Connection.open(JSON.parse(stored) as Credentials));
        else if (await asksToSignIn()) setAsks(true);
        else begin(await Connection.open(NOBODY));
      } catch (error) {
        signOut((error as Error).message);
      }
    })();
  }, []);

  if (session !== null) return <Pages session={session} onSignOut={() => void session.connection.close().then(() => signOut(""))} />;
  if (!asks) return <p class="empty">Connecting …</p>;
  return (
    <SignIn
      problem={problem}
      onSignIn={(connection, credentials, keep) => {
        if (keep) sessionStorage.setItem(STORED, JSON.stringify(credentials));
        begin(connection);
      }}
    />
  );
}
