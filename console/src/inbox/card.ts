// One message in the inbox.
import type { Msg } from "@nats-io/nats-core";
import { PRIORITIES, type Priority } from "../nats/mailbox";
import { decodeText } from "../parts/text";
import { type ApprovalRequest, readRequest } from "./approval";

export interface SettledEvent {
  how: "answered" | "deleted";
  by?: string;
  answer?: { mail_address: string; msg_id: number } | null;
}

export class Card {
  readonly id: number;
  readonly priority: Priority;
  // The user whose name the broker proves; null if the sender did not sign in with one.
  readonly sender: string | null;
  // The mailbox that receives the answer; null if the message is no question.
  readonly replyTo: string | null;
  readonly data: Uint8Array;
  readonly headers: Record<string, string[]> = {};
  isSending = false;
  problem = "";
  // What the broker told of the message while this page was deciding.
  settled: SettledEvent | null = null;
  private parsed: ApprovalRequest | null | undefined;

  constructor(
    readonly address: string,
    message: Msg,
  ) {
    this.id = Number((message.reply ?? "").split(".").at(-1)!.split("-")[0]);
    const last = message.subject.split(".").at(-1) as Priority;
    this.priority = message.subject.length > `$mq9.AI.MAILBOX.MSG.${address}`.length && PRIORITIES.includes(last) ? last : "normal";
    for (const [name, values] of message.headers ?? []) this.headers[name.toLowerCase()] = values;
    this.sender = this.headers["mq9-from"]?.[0] ?? null;
    this.replyTo = this.headers["mq9-reply-to"]?.[0] ?? null;
    // A copy: the client reads the next messages into the same memory.
    this.data = message.data.slice();
  }

  get key(): string {
    return `${this.address}/${this.id}`;
  }

  get request(): ApprovalRequest | null {
    if (this.parsed === undefined) this.parsed = readRequest(this.data);
    return this.parsed;
  }

  get title(): string {
    const text = this.request?.title ?? decodeText(this.data)?.trim().split("\n", 1)[0]!.slice(0, 80);
    return text || this.key;
  }
}
