// Agents that have a public mailbox: who is there, as the events of the mailboxes tell.
import { useState } from "preact/hooks";
import { onBoard } from "../mailboxes/board_page";
import type { Connection } from "../nats/connection";
import { type MailboxEvent, useEvents } from "../nats/events";
import { list, type Listed, type OnBoard, payloadOf } from "../nats/mailbox";
import { Body } from "../parts/body";
import { useLoaded } from "../parts/loaded";
import { Inline } from "../parts/text";
import { relativeText } from "../parts/time";

const ROWS = 100;
const STORED = "mq9fast.agents";

interface Agent extends OnBoard {
  // How many clients read the mailbox; null if the user may not list it.
  readers: number | null;
}

type States = Record<string, { state: string; at: number }>;

const STATES: Record<string, string> = {
  alive: "there",
  created: "there",
  absent: "gone",
  expired: "gone: its mailbox expired",
  waiting: "has mail that nobody reads",
};

export function AgentsPage({ connection }: { connection: Connection }) {
  const [prefix, setPrefix] = useState(localStorage.getItem(STORED) ?? "agent.");
  const [states, setStates] = useState<States>({});
  const { value: agents, problem, reload } = useLoaded(connection, () => load(connection, prefix), [prefix]);
  const note = (address: string, { event }: MailboxEvent) => {
    const state = STATES[event];
    if (state !== undefined) setStates((before) => ({ ...before, [address]: { state, at: Date.now() } }));
  };
  useEvents(connection, (agents ?? []).map((each) => each.mail_address), "", note);
  return (
    <main>
      <h1>Agents</h1>
      <div class="buttons">
        <label>
          Public mailboxes that begin with
          <input
            value={prefix}
            onInput={(event) => {
              setPrefix(event.currentTarget.value);
              localStorage.setItem(STORED, event.currentTarget.value);
            }}
            autocomplete="off"
            autocapitalize="off"
            spellcheck={false}
          />
        </label>
        <button type="button" onClick={reload}>
          Look again
        </button>
      </div>
      {problem && <p role="alert">{problem}</p>}
      {agents !== null && agents.length === 0 && <p class="empty">No agent has a public mailbox that begins so.</p>}
      {(agents ?? []).map((agent) => (
        <Row agent={agent} state={states[agent.mail_address]} key={agent.mail_address} />
      ))}
    </main>
  );
}

function Row({ agent, state }: { agent: Agent; state: States[string] | undefined }) {
  const isGone = state?.state.startsWith("gone");
  return (
    <article class="panel" aria-label={agent.mail_address}>
      <p>
        <strong>
          <a href={`#/mailboxes/${agent.mail_address}`}>{agent.mail_address}</a>
        </strong>{" "}
        <span class={isGone ? "unsigned state" : "state"}>{state?.state ?? "…"}</span>
      </p>
      {agent.desc !== undefined && (
        <p class="note">
          <Inline text={agent.desc} />
        </p>
      )}
      <p class="sender">
        messages: {agent.total.toLocaleString()}
        {agent.readers !== null && ` · readers: ${agent.readers}`}
        {agent.expires_at !== undefined && ` · expires ${relativeText(agent.expires_at * 1000)} if it is silent`}
      </p>
      {agent.latest !== undefined && <Latest message={agent.latest} />}
    </article>
  );
}

function Latest({ message }: { message: Listed }) {
  const data = payloadOf(message);
  return (
    <details>
      <summary>Its newest message, {relativeText(message.create_time * 1000)}</summary>
      {data === null ? <p class="note">It is too large for a page.</p> : <Body data={data} />}
    </details>
  );
}

async function load(connection: Connection, prefix: string): Promise<Agent[]> {
  const found = await onBoard(connection, prefix, ROWS, { with_latest: true });
  return Promise.all(
    found.map(async (each) => {
      const listing = await list(connection, each.mail_address, { limit: 1, meta_only: true }).catch(() => null);
      const details = listing?.mailbox;
      return { ...each, readers: details ? details.readers + details.groups.reduce((sum, group) => sum + group.members, 0) : null };
    }),
  );
}
