// All mailboxes that the user chose, the cards that wait in them, and what was decided.
import { type Connection, ConnectionLost } from "../nats/connection";
import { create, list, PRIORITIES, type Settled, settle } from "../nats/mailbox";
import { Observable } from "../parts/observable";
import type { Card, SettledEvent } from "./card";
import { type Decision, findAnswer, readLog } from "./decisions";
import { MailboxWatch, type Watcher } from "./mailbox_watch";

// How long the event that tells who was first may take after the reply that another was.
const EVENT_MS = 2000;

export class Inbox extends Observable implements Watcher {
  readonly watches = new Map<string, MailboxWatch>();
  readonly decisions: Decision[] = [];
  // What the user should read, the latest last.
  notices: string[] = [];
  private cards = new Map(PRIORITIES.map((priority) => [priority, new Map<string, Card>()]));

  constructor(private readonly connection: Connection) {
    super();
    for (const address of this.stored()) this.watch(address);
  }

  get total(): number {
    return PRIORITIES.reduce((sum, priority) => sum + this.cards.get(priority)!.size, 0);
  }

  // The most urgent ones, at most `limit`.
  first(limit: number): Card[] {
    const found: Card[] = [];
    for (const priority of PRIORITIES) {
      for (const card of this.cards.get(priority)!.values()) {
        if (found.length === limit) return found;
        found.push(card);
      }
    }
    return found;
  }

  choose(address: string): void {
    if (!this.watches.has(address)) this.watch(address);
    this.store();
  }

  leave(address: string): void {
    this.watches.get(address)?.stop();
    this.watches.delete(address);
    for (const cards of this.cards.values()) {
      for (const [key, card] of cards) if (card.address === address) cards.delete(key);
    }
    this.store();
  }

  dismiss(notice: string): void {
    this.notices = this.notices.filter((each) => each !== notice);
    this.changed();
  }

  // Answer a message, or discard it with an empty body: once, whatever becomes of the connection meanwhile.
  async decide(card: Card, body: string, decision: string, reason: string): Promise<void> {
    if (card.isSending) return;
    card.isSending = true;
    card.problem = "";
    this.changed();
    try {
      const [reply, isRepeated] = await this.settleOnce(card, body);
      if (reply.deleted) this.record(card, { decision, reason, by: this.connection.user || null, isMine: true });
      else await this.tellWhoWasFirst(card, body, isRepeated);
      if (reply.deleted && body !== "" && reply.answer === null) this.notify(`${card.title}: nobody reads the answer, because its mailbox is gone.`);
    } catch (error) {
      card.problem = error instanceof Error ? error.message : String(error);
    }
    card.isSending = false;
    this.changed();
  }

  // Ask the broker to store in the mailbox `{address}.decided` who decides.
  async keepLog(address: string): Promise<void> {
    const log = `${address}.decided`;
    try {
      await create(this.connection, { name: log });
      const { mailbox } = await list(this.connection, address, { meta_only: true, limit: 1 });
      await create(this.connection, { name: address, public: mailbox?.public ?? false, receipts_to: log });
      this.watches.get(address)!.hasLog = true;
      this.notify(`The mailbox ${log} tells from now on who decided.`);
    } catch (error) {
      this.notify(error instanceof Error ? error.message : String(error));
    }
  }

  arrived(card: Card): void {
    this.cards.get(card.priority)!.set(card.key, card);
    this.changed();
  }

  settled(key: string, event: SettledEvent): void {
    const card = this.find(key);
    if (card === undefined) return;
    card.settled = event;
    if (!card.isSending) void this.recordOther(card, event);
  }

  gone(key: string): void {
    const card = this.find(key);
    if (card !== undefined && !card.isSending) this.remove(card);
  }

  logs(_address: string, log: string): void {
    readLog(this.connection, log).then(
      (found) => {
        for (const decision of found.reverse()) this.add(decision);
        this.decisions.sort((a, b) => b.at - a.at);
        this.changed();
      },
      (error: Error) => this.notify(`The log ${log} cannot be read: ${error.message}`),
    );
  }

  override changed(): void {
    super.changed();
  }

  private async settleOnce(card: Card, body: string): Promise<[Settled, boolean]> {
    for (let isRepeated = false; ; isRepeated = true) {
      await this.connection.connected();
      try {
        return [await settle(this.connection, card.address, card.id, body), isRepeated];
      } catch (error) {
        // The broker may have carried it out. To send it again does no harm: a message is settled once.
        if (!(error instanceof ConnectionLost) || this.connection.ended) throw error;
      }
    }
  }

  private async tellWhoWasFirst(card: Card, body: string, isRepeated: boolean): Promise<void> {
    const answer = await findAnswer(this.connection, card.key, card.replyTo ?? undefined);
    if (isRepeated && answer?.text === body && (answer.by ?? "") === this.connection.user) {
      this.record(card, { decision: answer.decision, reason: answer.reason, by: answer.by, isMine: true });
      return;
    }
    if (card.settled === null && !isRepeated) await new Promise((resolve) => setTimeout(resolve, EVENT_MS));
    const by = card.settled?.by ?? answer?.by ?? null;
    const decision = answer?.decision ?? "answered";
    if (isRepeated && by === null) {
      this.record(card, { decision, reason: "", by, isMine: false });
      this.notify(`${card.title}: decided while the connection was lost, by you or by another.`);
      return;
    }
    this.record(card, { decision, reason: answer?.reason ?? "", by, isMine: false });
    this.notify(`${card.title}: ${by ?? "somebody else"} was first (${decision}). Your decision does not count.`);
  }

  private async recordOther(card: Card, event: SettledEvent): Promise<void> {
    const how = event.how === "answered" ? "answered" : "discarded";
    const recorded = this.record(card, { decision: how, reason: "", by: event.by ?? null, isMine: false });
    const answer = await findAnswer(this.connection, card.key, event.answer?.mail_address);
    if (answer === null) return;
    Object.assign(recorded, { decision: answer.decision, reason: answer.reason });
    this.changed();
  }

  private record(card: Card, what: Pick<Decision, "decision" | "reason" | "by" | "isMine">): Decision {
    this.remove(card);
    return this.add({ key: card.key, title: card.title, at: Date.now(), ...what });
  }

  // Add a decision before the others, if it is not there.
  private add(decision: Decision): Decision {
    const found = this.decisions.find(({ key, at }) => key === decision.key && Math.abs(at - decision.at) < 60_000);
    if (found === undefined) this.decisions.unshift(decision);
    return found ?? decision;
  }

  private find(key: string): Card | undefined {
    for (const cards of this.cards.values()) if (cards.has(key)) return cards.get(key);
    return undefined;
  }

  private remove(card: Card): void {
    this.cards.get(card.priority)!.delete(card.key);
    this.changed();
  }

  private notify(notice: string): void {
    this.notices = [...this.notices, notice];
    this.changed();
  }

  private watch(address: string): void {
    this.watches.set(address, new MailboxWatch(this.connection, address, this));
    this.changed();
  }

  // Addresses are no secret: they are kept in this browser, for each user.
  private get storageKey(): string {
    return `mq9fast.inbox.${this.connection.user}`;
  }

  private stored(): string[] {
    try {
      const stored: unknown = JSON.parse(localStorage.getItem(this.storageKey) ?? "[]");
      return Array.isArray(stored) ? stored.filter((each) => typeof each === "string") : [];
    } catch {
      return [];
    }
  }

  private store(): void {
    localStorage.setItem(this.storageKey, JSON.stringify([...this.watches.keys()]));
    this.changed();
  }
}
