// The commands of mailboxes, as docs/protocol.md describes them.
import type { Connection } from "./connection";

export const PREFIX = "$mq9.AI.MAILBOX.";
export type Priority = "critical" | "urgent" | "normal";
export const PRIORITIES: readonly Priority[] = ["critical", "urgent", "normal"];

export interface Listed {
  msg_id: number;
  priority: Priority;
  create_time: number;
  deliver_at?: number;
  size: number;
  headers: Record<string, string | string[]>;
  deliveries?: number;
  from?: string;
  key?: string;
  payload?: string;
  payload_base64?: string;
  payload_omitted?: boolean;
}

export interface Details {
  public: boolean;
  desc?: string;
  ttl: number;
  expires_at?: number;
  create_time?: number;
  bytes: number;
  oldest?: number;
  delayed?: number;
  readers: number;
  groups: { name: string; members: number; in_flight: number; waiting: number }[];
  options?: Record<string, string | number | boolean | number[]>;
}

export interface Listing {
  mail_address: string;
  total: number;
  mailbox?: Details;
  messages: Listed[];
  next?: string;
  end?: string;
}

export interface OnBoard {
  mail_address: string;
  desc?: string;
  total: number;
  ttl: number;
  expires_at?: number;
  create_time?: number;
  latest?: Listed;
}

export interface Settled {
  deleted: boolean;
  answer?: { mail_address: string; msg_id: number } | null;
}

// The broker refused a command.
export class CommandError extends Error {
  constructor(
    message: string,
    readonly code: string,
  ) {
    super(message);
  }
}

// Send a command and return its reply. Throws CommandError, ConnectionLost, Error.
export async function command<T>(
  connection: Connection,
  verb: string,
  body: object | string | Uint8Array = "",
  headers: Record<string, string> = {},
): Promise<T> {
  const payload = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  const reply = (await connection.request(PREFIX + verb, payload, headers)).json<T & { error?: string; code?: string }>();
  if (reply.error !== undefined) throw new CommandError(reply.error, reply.code ?? "");
  return reply;
}

export const list = (connection: Connection, address: string, fields: object = {}) =>
  command<Listing>(connection, `LIST.${address}`, fields);

export const board = (connection: Connection, fields: object = {}) =>
  command<{ mailboxes: OnBoard[]; next?: string }>(connection, "LIST", fields);

export const create = (connection: Connection, fields: object) =>
  command<{ mail_address: string; is_new: boolean }>(connection, "CREATE", fields);

// Discard a message: with a body, answer it. Only one client can.
export const settle = (connection: Connection, address: string, id: number, body: string | Uint8Array = "") =>
  command<Settled>(connection, `DELETE.${address}.${id}`, body);

export const send = (
  connection: Connection,
  address: string,
  priority: Priority,
  body: string | Uint8Array,
  headers: Record<string, string>,
) => command<{ msg_id: number }>(connection, `MSG.${address}${priority === "normal" ? "" : `.${priority}`}`, body, headers);

// The payload of a listed message; null if it was left out.
export function payloadOf(message: Listed): Uint8Array | null {
  if (message.payload !== undefined) return new TextEncoder().encode(message.payload);
  if (message.payload_base64 === undefined) return null;
  return Uint8Array.from(atob(message.payload_base64), (each) => each.charCodeAt(0));
}
