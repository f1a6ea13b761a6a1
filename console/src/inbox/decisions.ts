// What was decided: by this page, by others while it was open, and what a mailbox of receipts tells.
import type { Connection } from "../nats/connection";
import { list, payloadOf } from "../nats/mailbox";
import { decodeText } from "../parts/text";
import { readDecision } from "./approval";
import type { SettledEvent } from "./card";

export interface Decision {
  // `{mail_address}/{msg_id}`.
  key: string;
  title: string;
  // Such as "approve"; "answered" if nobody told how; "discarded" if there was no answer.
  decision: string;
  reason: string;
  by: string | null;
  isMine: boolean;
  // In milliseconds since 1970.
  at: number;
}

interface Receipt extends SettledEvent {
  mail_address: string;
  msg_id: number;
  event: string;
}

const RECEIPTS = 100;

// The answer to a message, if it is in a mailbox that the user may list.
export async function findAnswer(
  connection: Connection,
  key: string,
  answers: string | undefined,
): Promise<{ decision: string; reason: string; by: string | null; text: string } | null> {
  if (answers === undefined) return null;
  try {
    const { messages } = await list(connection, answers, { key });
    const text = messages[0] === undefined ? null : decodeText(payloadOf(messages[0]) ?? new Uint8Array());
    return text === null ? null : { ...readDecision(text), by: messages[0]!.from ?? null, text };
  } catch {
    return null;
  }
}

// The decisions that a mailbox of receipts tells of, the newest first.
export async function readLog(connection: Connection, log: string): Promise<Decision[]> {
  const { messages } = await list(connection, log, { order: "newest", limit: RECEIPTS });
  const found = messages.map((message) => {
    const text = decodeText(payloadOf(message) ?? new Uint8Array());
    const isReceipt = message.headers["Mq9-Receipt"] === "settled" && text !== null;
    return isReceipt ? fromReceipt(connection, JSON.parse(text) as Receipt, message.create_time * 1000) : null;
  });
  return (await Promise.all(found)).filter((each) => each !== null);
}

async function fromReceipt(connection: Connection, receipt: Receipt, at: number): Promise<Decision> {
  const key = `${receipt.mail_address}/${receipt.msg_id}`;
  const answer = await findAnswer(connection, key, receipt.answer?.mail_address);
  return {
    key,
    title: key,
    decision: answer?.decision ?? (receipt.how === "answered" ? "answered" : "discarded"),
    reason: answer?.reason ?? "",
    by: receipt.by ?? null,
    isMine: receipt.by !== undefined && receipt.by === connection.user,
    at,
  };
}
