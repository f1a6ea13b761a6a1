// Publish, subscribe, wildcards, request-reply, queue groups, headers, no responders, drain.
import { headers } from "@nats-io/nats-core";
import { failure, finish, open, report, take, waitLong } from "./lib.mjs";

const client = await open();
report({ connected: client.info.client_id > 0, port: client.info.port, headers: client.info.headers });

const wild = client.subscribe("js.*.done", { max: 2 });
client.publish("js.one.done", "1");
client.publish("js.two.other", "no");
client.publish("js.two.done", new Uint8Array([0, 255, 13, 10]));
report({ wild: (await take(wild, 2)).map((message) => [message.subject, [...message.data]]) });

client.subscribe("js.double", { callback: (_, message) => message.respond(`${2 * Number(message.string())}`) });
const double = async (n) => (await client.request("js.double", `${n}`, waitLong)).string();
report({ replies: await Promise.all([1, 2, 3].map(double)) });

const members = [0, 1, 2].map(() => client.subscribe("js.work", { queue: "workers" }));
for (let n = 0; n < 300; n++) client.publish("js.work", `${n}`);
await client.flush();
const counts = members.map((member) => member.getReceived());
members.forEach((member) => member.unsubscribe());
report({ counts });

const withHeaders = client.subscribe("js.headers", { max: 1 });
const sent = headers();
sent.append("Kind", "first");
sent.append("Kind", "second");
client.publish("js.headers", "body", { headers: sent, reply: "js.reply" });
const [received] = await take(withHeaders, 1);
report({ kind: received.headers.values("Kind"), body: received.string(), reply: received.reply });

report({ nobody: await failure(client.request("js.nobody", "", waitLong)) });

// Exchange messages with a client of the test that is not a JavaScript client.
const peer = client.subscribe("js.to", { max: 1 });
await client.flush();
report({ ready: true });
const [fromPeer] = await take(peer, 1);
fromPeer.respond(`received ${fromPeer.string()}`, { headers: sent });

// A draining subscription handles all messages that were sent before, and the client refuses to publish.
const drained = client.subscribe("js.drain");
for (let n = 0; n < 100; n++) client.publish("js.drain", `${n}`);
const handled = (async () => {
  let count = 0;
  for await (const _ of drained) count++;
  return count;
})();
const pending = client.drain();
report({ handled: await handled, late: (await failure(Promise.resolve().then(() => client.publish("js.drain")))).name });
await pending;
report({ closed: client.isClosed() });
await finish();
