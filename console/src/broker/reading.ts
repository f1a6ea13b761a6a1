// What the broker tells of itself: over NATS what the user may ask, the rest from the monitoring port. That has no
// sign-in, so it mostly listens on loopback only.
import type { Connection } from "../nats/connection";

export interface Varz {
  uptime: string;
  mem: number;
  cpu: number;
  cores: number;
  connections: number;
  slow_consumers: number;
  max_connections: number;
  max_pending: number;
  in_msgs: number;
  out_msgs: number;
}

export interface Conn {
  cid: number;
  name?: string;
  ip: string;
  port: number;
  lang?: string;
  authorized_user?: string;
  uptime: string;
  subscriptions: number;
  pending_bytes: number;
  in_msgs: number;
  out_msgs: number;
}

export interface Connz {
  connections: Conn[];
  total: number;
}

// What is null could not be read.
export interface Reading {
  at: number;
  varz: Varz | null;
  connz: Connz | null;
  health: { error?: string } | null;
  metrics: Map<string, number> | null;
}

const CONNECTIONS = 100;
const SORT = "msgs_to";

// The URL of the monitoring port, "" if the broker has none.
export async function monitorUrl(): Promise<string> {
  return (await (await fetch("monitor.json")).json()) as string;
}

export async function read(connection: Connection, url: string): Promise<Reading> {
  const at = performance.now();
  const [varz, connz, health, metrics] = await Promise.all([
    ask<Varz>(connection, "VARZ", {}).then((found) => found ?? get<Varz>(url, "/varz")),
    ask<Connz>(connection, "CONNZ", { auth: true, sort: SORT, limit: CONNECTIONS }).then(
      (found) => found ?? get<Connz>(url, `/connz?auth=true&sort=${SORT}&limit=${CONNECTIONS}`),
    ),
    ask<{ error?: string }>(connection, "HEALTHZ", {}).then((found) => found ?? get<{ error?: string }>(url, "/healthz")),
    text(url, "/metrics"),
  ]);
  return { at, varz, connz, health, metrics: metrics === null ? null : readMetrics(metrics) };
}

// Null if the user may not ask that.
async function ask<T>(connection: Connection, page: string, options: object): Promise<T | null> {
  try {
    const reply = await connection.request(`$SYS.REQ.SERVER.PING.${page}`, JSON.stringify(options));
    return reply.json<{ data?: T }>().data ?? null;
  } catch {
    return null;
  }
}

async function get<T>(url: string, path: string): Promise<T | null> {
  const body = await text(url, path);
  return body === null ? null : (JSON.parse(body) as T);
}

// Null if the browser does not reach the port.
async function text(url: string, path: string): Promise<string | null> {
  if (url === "") return null;
  try {
    return await (await fetch(`${url}${path}`, { credentials: "omit" })).text();
  } catch {
    return null;
  }
}

// The values of Prometheus's text format, by name and labels.
function readMetrics(body: string): Map<string, number> {
  const lines = body.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
}
