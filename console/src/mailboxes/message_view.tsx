// One message of a mailbox: its headers and body, and what can be done with it.
import { useState } from "preact/hooks";
import type { Connection } from "../nats/connection";
import { type Listed, payloadOf, settle } from "../nats/mailbox";
import { Body } from "../parts/body";
import { Confirm } from "../parts/confirm";
import { Inline } from "../parts/text";
import { When } from "../parts/time";
import { Copy } from "./copy_view";
import { deadFrom, replay } from "./replay";

interface Props {
  connection: Connection;
  address: string;
  message: Listed;
  onChange: () => void;
}

export function MessageView({ connection, address, message, onChange }: Props) {
  const [problem, setProblem] = useState("");
  const [showsCopy, setShowsCopy] = useState(false);
  const data = payloadOf(message);
  const origin = deadFrom(message);
  const act = (action: () => Promise<unknown>) => {
    setProblem("");
    action().then(onChange, (error: Error) => setProblem(error.message));
  };
  return (
    <article class={`panel ${message.priority}`} aria-label={`Message ${message.msg_id}`}>
      <p class="sender">
        <strong>{message.msg_id}</strong> · <span class="priority">{message.priority}</span> · <When at={message.create_time * 1000} /> ·{" "}
        {message.from === undefined ? <span class="unsigned">unsigned</span> : <Inline text={`from ${message.from}`} />}
        {message.deliveries !== undefined && ` · failed ${message.deliveries} times`}
        {message.deliver_at !== undefined && (
          <>
            {" · due "}
            <When at={message.deliver_at * 1000} />
          </>
        )}
      </p>
      <Headers headers={message.headers} />
      {data === null ? <p class="note">{message.size.toLocaleString()} bytes, too large for a page.</p> : <Body data={data} />}
      <div class="buttons">
        <Confirm text="Discard" really="Discard it for ever" onConfirm={() => act(() => settle(connection, address, message.msg_id))} />
        {origin !== null && data !== null && (
          <button type="button" onClick={() => act(() => replay(connection, address, message, data, origin))}>
            Send again to {origin}
          </button>
        )}
        {data !== null && (
          <button type="button" onClick={() => setShowsCopy(!showsCopy)} aria-expanded={showsCopy}>
            Copy as …
          </button>
        )}
      </div>
      {showsCopy && data !== null && <Copy address={address} message={message} data={data} />}
      {problem && <p role="alert">{problem}</p>}
    </article>
  );
}

function Headers({ headers }: { headers: Listed["headers"] }) {
  const lines = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((each) => [name, each] as const));
  if (lines.length === 0) return null;
  return (
    <dl class="fields">
      {lines.map(([name, value]) => (
        <div key={`${name} ${value}`}>
          <dt>
            <Inline text={name} />
          </dt>
          <dd>
            <Inline text={value} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
