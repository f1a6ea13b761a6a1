// The one connection of the page to its broker. It connects again by itself, for as long as that takes.
import { AuthorizationError, headers, type Msg, type NatsConnection, wsconnect } from "@nats-io/nats-core";
import { Observable } from "../parts/observable";
import { brokerUrl } from "./url";

export interface Credentials {
  user: string;
  password: string;
  token: string;
}

const RECONNECT_MS = 500;
const CONNECT_MS = 20000;
const REQUEST_MS = 20000;

// The connection ended before the reply came: the request may have been carried out or not.
export class ConnectionLost extends Error {}

export class Connection extends Observable {
  isConnected = true;
  // Why the client gave up: the broker refuses the user now.
  ended = "";
  private lost = new Set<(error: Error) => void>();
  private returned = new Set<() => void>();

  private constructor(
    private readonly nats: NatsConnection,
    readonly user: string,
  ) {
    super();
    void this.watch();
    void nats.closed().then((error) => this.end(error));
  }

  // Throws an Error with a sentence for the user.
  static async open({ user, password, token }: Credentials): Promise<Connection> {
    const nats = await wsconnect({
      servers: brokerUrl(),
      name: "console",
      ...(token ? { token } : user ? { user, pass: password } : {}),
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      timeout: CONNECT_MS,
    }).catch((error: unknown) => {
      const isRefused = error instanceof AuthorizationError;
      throw new Error(isRefused ? "The broker refused the name or the password." : `There is no connection: ${sentence(error)}`);
    });
    return new Connection(nats, token ? "" : user);
  }

  get info() {
    return this.nats.info;
  }

  // One request. Throws ConnectionLost, or an Error with what the broker refused.
  async request(subject: string, payload: string | Uint8Array = "", fields: Record<string, string> = {}): Promise<Msg> {
    if (!this.isConnected) throw new ConnectionLost("The connection is lost.");
    const sent = headers();
    for (const [name, value] of Object.entries(fields)) sent.set(name, value);
    const options = Object.keys(fields).length > 0 ? { timeout: REQUEST_MS, headers: sent } : { timeout: REQUEST_MS };
    let forget = () => {};
    const ended = new Promise<never>((_resolve, reject) => {
      this.lost.add(reject);
      forget = () => this.lost.delete(reject);
    });
    try {
      return await Promise.race([this.nats.request(subject, payload, options), ended]);
    } catch (error) {
      throw error instanceof ConnectionLost ? error : new Error(sentence(error));
    } finally {
      forget();
    }
  }

  // Messages of a subject until the returned function is called. `onEnd` gets the sentence of a refusal.
  subscribe(subject: string, onMessage: (message: Msg) => void, onEnd: (problem: string) => void = () => {}): () => void {
    const subscription = this.nats.subscribe(subject, {
      callback: (error, message) => (error === null ? onMessage(message) : onEnd(sentence(error))),
    });
    return () => subscription.unsubscribe();
  }

  publish(subject: string): void {
    this.nats.publish(subject);
  }

  // Resolves when there is a connection.
  async connected(): Promise<void> {
    if (this.isConnected) return;
    await new Promise<void>((resolve) => {
      const stop = this.onReturn(() => {
        stop();
        resolve();
      });
    });
  }

  // Call back each time the connection is there again. Subscriptions are restored by then.
  onReturn(callback: () => void): () => void {
    this.returned.add(callback);
    return () => this.returned.delete(callback);
  }

  async close(): Promise<void> {
    await this.nats.close();
  }

  roundTrip(): Promise<number> {
    return this.nats.rtt();
  }

  private async watch(): Promise<void> {
    for await (const status of this.nats.status()) {
      if (status.type === "disconnect" && this.isConnected) this.lose();
      if (status.type === "reconnect") this.return();
    }
  }

  private lose(): void {
    this.isConnected = false;
    for (const reject of [...this.lost]) reject(new ConnectionLost("The connection was lost."));
    this.changed();
  }

  private end(error: void | Error): void {
    this.ended = error instanceof AuthorizationError ? "The broker refuses this user now." : "The connection ended.";
    this.lose();
  }

  private return(): void {
    this.isConnected = true;
    for (const callback of [...this.returned]) callback();
    this.changed();
  }
}

function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
