// The broker is killed and started again. The client restores its subscriptions, and the mailbox still exists.
import { ask, finish, MAILBOX, open, receive, report, take } from "./lib.mjs";

const client = await open({ reconnectTimeWait: 50, maxReconnectAttempts: -1 });
await ask(client, "CREATE", { name: "kept" });
await ask(client, "MSG.kept", "before");
const plain = client.subscribe("js.plain");
const kept = client.subscribe(`${MAILBOX}MSG.kept`);
while (kept.getReceived() < 1) await client.flush();

// Over WebSocket the client reports each failed attempt as another disconnect.
(async () => {
  let last = "";
  for await (const { type } of client.status()) {
    if (["disconnect", "reconnect"].includes(type) && type !== last) report({ status: (last = type) });
  }
})();
report({ connected: true });

await receive();
const seen = [];
for await (const message of kept) {
  seen.push(message.string());
  if (message.string() === "after") break;
}
client.publish("js.plain", "still subscribed");
report({ seen, plain: (await take(plain, 1))[0].string() });
await finish(client);
