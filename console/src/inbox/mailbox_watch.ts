// One mailbox, live: its messages, and what becomes of them.
import type { Msg } from "@nats-io/nats-core";
import type { Connection } from "../nats/connection";
import { list, PREFIX } from "../nats/mailbox";
import { Card, type SettledEvent } from "./card";

export interface Watcher {
  arrived(card: Card): void;
  settled(key: string, event: SettledEvent): void;
  // The message is not there any more, and nobody told why.
  gone(key: string): void;
  // The receipts of this mailbox are in the mailbox `log`.
  logs(address: string, log: string): void;
  changed(): void;
}

interface MailboxEvent extends Partial<SettledEvent> {
  event: string;
  msg_id?: number;
}

export class MailboxWatch {
  // Why the mailbox cannot be read, or "".
  problem = "";
  isAbsent = false;
  hasLog = false;
  // All messages that this page knows, by id.
  private known = new Map<number, Card>();
  private stops: (() => void)[] = [];

  constructor(
    private readonly connection: Connection,
    readonly address: string,
    private readonly watcher: Watcher,
  ) {
    this.stops = [
      connection.subscribe(`${PREFIX}MSG.${address}`, (message) => this.receive(message), (problem) => this.fail(problem)),
      // Without the permission for events the page learns who was first when it decides.
      connection.subscribe(`${PREFIX}EVENT.${address}.*`, (message) => this.handle(message.json<MailboxEvent>())),
      connection.onReturn(() => void this.compare()),
    ];
    void this.findLog();
  }

  stop(): void {
    for (const stop of this.stops) stop();
  }

  private receive(message: Msg): void {
    const card = new Card(this.address, message);
    this.isAbsent = false;
    if (Number.isNaN(card.id)) return;
    const before = this.known.get(card.id);
    // After a reconnect the broker sends everything again. If the mailbox was created anew meanwhile, another message
    // may have the number.
    if (before !== undefined && isSame(before, card)) return;
    if (before !== undefined) this.forget(card.id);
    this.known.set(card.id, card);
    this.watcher.arrived(card);
  }

  private handle(event: MailboxEvent): void {
    if (event.event === "absent" || event.event === "expired") {
      this.isAbsent = true;
      for (const id of [...this.known.keys()]) this.forget(id);
    }
    if (event.event === "alive" || event.event === "created") this.isAbsent = false;
    if (event.event === "settled") {
      this.known.delete(event.msg_id!);
      this.watcher.settled(`${this.address}/${event.msg_id}`, { how: event.how ?? "deleted", ...pick(event) });
    }
    if (event.event === "dropped" || event.event === "dead_letter") this.forget(event.msg_id!);
    this.watcher.changed();
  }

  private forget(id: number): void {
    this.known.delete(id);
    this.watcher.gone(`${this.address}/${id}`);
  }

  // After a reconnect: forget what was settled or expired meanwhile, of what was known before.
  private async compare(): Promise<void> {
    const before = [...this.known.keys()];
    const present = new Set<number>();
    try {
      let cursor: string | undefined;
      do {
        const page = await list(this.connection, this.address, { meta_only: true, ...(cursor ? { cursor } : {}) });
        for (const { msg_id } of page.messages) present.add(msg_id);
        cursor = page.next;
      } while (cursor);
    } catch {
      // Without the permission for LIST they stay until somebody decides. After another loss this runs again.
      return;
    }
    for (const id of before) if (!present.has(id)) this.forget(id);
    void this.findLog();
  }

  private async findLog(): Promise<void> {
    try {
      const { mailbox } = await list(this.connection, this.address, { meta_only: true, limit: 1 });
      const log = mailbox?.options?.receipts_to;
      this.hasLog = typeof log === "string";
      if (typeof log === "string") this.watcher.logs(this.address, log);
      this.watcher.changed();
    } catch {
      // The user may not list this mailbox, or it does not exist yet.
    }
  }

  private fail(problem: string): void {
    this.problem = problem;
    this.watcher.changed();
  }
}

function isSame(a: Card, b: Card): boolean {
  return (
    a.data.length === b.data.length &&
    a.data.every((each, at) => each === b.data[at]) &&
    JSON.stringify(a.headers) === JSON.stringify(b.headers)
  );
}

function pick({ by, answer }: MailboxEvent): Omit<SettledEvent, "how"> {
  return { ...(by === undefined ? {} : { by }), ...(answer === undefined ? {} : { answer }) };
}
