// Sends a dead letter to the mailbox again where it failed.
import type { Connection } from "../nats/connection";
import { type Listed, send, settle } from "../nats/mailbox";

// What only the broker may write, and an id under which the broker knows the message already.
const LEFT_OUT = /^(mq9-(from|deliveries|dead-.*|in-reply-to|receipt)|nats-msg-id)$/i;

// The mailbox where a dead letter failed; null if the message is no dead letter.
export function deadFrom(message: Listed): string | null {
  const origin = message.headers["Mq9-Dead-From"];
  return typeof origin === "string" ? origin.slice(0, origin.lastIndexOf("/")) : null;
}

// The id keeps a repeated attempt from sending it twice.
export async function replay(connection: Connection, address: string, message: Listed, data: Uint8Array, origin: string): Promise<void> {
  const headers = { ...sentHeaders(message), "Nats-Msg-Id": `replay ${address}/${message.msg_id}` };
  await send(connection, origin, message.priority, data, headers);
  await settle(connection, address, message.msg_id);
}

// The headers that a client may send; of one that occurs more than once, the first.
export function sentHeaders(message: Listed): Record<string, string> {
  const kept = Object.entries(message.headers).filter(([name]) => !LEFT_OUT.test(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, [value].flat()[0]!]));
}
