// A client whose broker is killed and started again: its subscriptions are there again, and so is its mailbox.
import { ask, finish, MAILBOX, open, say, take, told } from "./lib.mjs";

const client = await open({ reconnectTimeWait: 50, maxReconnectAttempts: -1 });
await ask(client, "CREATE", { name: "kept" });
await ask(client, "MSG.kept", "before");
const plain = client.subscribe("js.plain");
const kept = client.subscribe(`${MAILBOX}MSG.kept`);
while (kept.getReceived() < 1) await client.flush();

// Over WebSocket the client tells of each failed attempt as of another connection that was lost.
(async () => {
  let last = "";
  for await (const { type } of client.status()) {
    if (["disconnect", "reconnect"].includes(type) && type !== last) say({ status: (last = type) });
  }
})();
say({ connected: true });

await told();
const seen = [];
for await (const message of kept) {
  seen.push(message.string());
  if (message.string() === "after") break;
}
client.publish("js.plain", "still subscribed");
say({ seen, plain: (await take(plain, 1))[0].string() });
await finish(client);
