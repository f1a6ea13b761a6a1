// One mailbox: what is known of it, its messages page by page, and a form to send to it.
import { useState } from "preact/hooks";
import type { Connection } from "../nats/connection";
import { useReloadOnEvents } from "../nats/events";
import { type Details, list, type Listed } from "../nats/mailbox";
import { type Fact, Facts } from "../parts/facts";
import { useLoaded } from "../parts/loaded";
import { Inline } from "../parts/text";
import { durationText, When } from "../parts/time";
import { MessageView } from "./message_view";
import { Send } from "./send";

const ROWS = 50;

interface Loaded {
  total: number;
  details: Details;
  messages: Listed[];
  hasMore: boolean;
}

export function MailboxPage({ connection, address }: { connection: Connection; address: string }) {
  const [isNewestFirst, setNewestFirst] = useState(false);
  const [limit, setLimit] = useState(ROWS);
  const { value, problem, reload } = useLoaded(connection, () => load(connection, address, limit, isNewestFirst), [address, limit, isNewestFirst]);
  useReloadOnEvents(connection, [address], reload);
  return (
    <main>
      <h1>
        <Inline text={address} />
      </h1>
      <p>
        <a href="#/mailboxes">All mailboxes</a>
      </p>
      {problem && <p role="alert">{problem}</p>}
      {value !== null && <About details={value.details} />}
      <Send connection={connection} address={address} onSent={reload} />
      {value !== null && (
        <>
          <h2>{value.total.toLocaleString()} messages</h2>
          <div class="buttons">
            <label class="check">
              <input type="checkbox" checked={isNewestFirst} onChange={(event) => setNewestFirst(event.currentTarget.checked)} /> The
              newest first
            </label>
            <button type="button" onClick={reload}>
              Look again
            </button>
          </div>
          {value.messages.map((message) => (
            <MessageView connection={connection} address={address} message={message} onChange={reload} key={message.msg_id} />
          ))}
          {value.hasMore && (
            <button type="button" onClick={() => setLimit(limit + ROWS)}>
              Show more
            </button>
          )}
        </>
      )}
    </main>
  );
}

function About({ details }: { details: Details }) {
  const facts: Fact[] = [
    ["Kind", details.public ? "public" : "private"],
    ["Size", `${details.bytes.toLocaleString()} bytes`],
    ["Oldest message", details.oldest === undefined ? "none" : <When at={details.oldest * 1000} />],
    ["Lives for", details.ttl === 0 ? "ever" : `${durationText(details.ttl)} after the last message`],
    ["Readers", details.readers.toLocaleString()],
    ...details.groups.map((group): Fact => [
      `Group ${group.name}`,
      `${group.members} members, ${group.in_flight} in flight, ${group.waiting} waiting`,
    ]),
    ...Object.entries(details.options ?? {}).map(([name, value]): Fact => [name, String(value)]),
  ];
  if (details.delayed) facts.push(["Delayed", details.delayed.toLocaleString()]);
  return (
    <>
      {details.desc !== undefined && (
        <p>
          <Inline text={details.desc} />
        </p>
      )}
      <Facts facts={facts} />
    </>
  );
}

async function load(connection: Connection, address: string, limit: number, isNewestFirst: boolean): Promise<Loaded> {
  const order = isNewestFirst ? { order: "newest" } : {};
  const first = await list(connection, address, { limit, ...order });
  const messages = first.messages;
  let { next } = first;
  while (next !== undefined && messages.length < limit) {
    const page = await list(connection, address, { limit: limit - messages.length, cursor: next, ...order });
    messages.push(...page.messages);
    next = page.next;
  }
  return { total: first.total, details: first.mailbox!, messages, hasMore: next !== undefined };
}
