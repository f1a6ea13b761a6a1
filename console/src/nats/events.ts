// The events of mailboxes.
import { useEffect } from "preact/hooks";
import type { Connection } from "./connection";
import { PREFIX } from "./mailbox";

export interface MailboxEvent {
  event: "alive" | "absent" | "created" | "expired" | "waiting" | "settled" | "dropped" | "dead_letter";
  total?: number;
  expires_at?: number;
  msg_id?: number;
}

const PAUSE_MS = 200;

// Call back for each event of these mailboxes, as long as the component is there. `tail`: ".*" for single messages.
export function useEvents(
  connection: Connection,
  addresses: string[],
  tail: "" | ".*",
  onEvent: (address: string, event: MailboxEvent) => void,
): void {
  useEffect(() => {
    const stops = addresses.map((address) =>
      connection.subscribe(`${PREFIX}EVENT.${address}${tail}`, (message) => onEvent(address, message.json<MailboxEvent>())),
    );
    return () => stops.forEach((stop) => stop());
  }, [connection, addresses.join(" ")]);
}

// Call `reload` soon after something happened in these mailboxes, once for many events.
export function useReloadOnEvents(connection: Connection, addresses: string[], reload: () => void): void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  useEvents(connection, addresses, ".*", (_address, { event }) => {
    if (event === "alive" || event === "absent") return;
    clearTimeout(timer);
    timer = setTimeout(reload, PAUSE_MS);
  });
}
