// Publish, subscribe, wildcards, request-reply, queue groups, headers, no responders, drain.
import { headers } from "@nats-io/nats-core";
import { failure, finish, open, patient, say, take } from "./lib.mjs";

const client = await open();
say({ connected: client.info.client_id > 0, port: client.info.port, headers: client.info.headers });

const wild = client.subscribe("js.*.done", { max: 2 });
client.publish("js.one.done", "1");
client.publish("js.two.other", "no");
client.publish("js.two.done", new Uint8Array([0, 255, 13, 10]));
say({ wild: (await take(wild, 2)).map((message) => [message.subject, [...message.data]]) });

client.subscribe("js.double", { callback: (_, message) => message.respond(`${2 * Number(message.string())}`) });
const double = async (n) => (await client.request("js.double", `${n}`, patient)).string();
say({ replies: await Promise.all([1, 2, 3].map(double)) });

const members = [0, 1, 2].map(() => client.subscribe("js.work", { queue: "workers" }));
for (let n = 0; n < 300; n++) client.publish("js.work", `${n}`);
await client.flush();
const counts = members.map((member) => member.getReceived());
members.forEach((member) => member.unsubscribe());
say({ counts });

const withHeaders = client.subscribe("js.headers", { max: 1 });
const sent = headers();
sent.append("Kind", "first");
sent.append("Kind", "second");
client.publish("js.headers", "body", { headers: sent, reply: "js.reply" });
const [received] = await take(withHeaders, 1);
say({ kind: received.headers.values("Kind"), body: received.string(), reply: received.reply });

say({ nobody: await failure(client.request("js.nobody", "", patient)) });

// A peer of another kind: what it says goes out of here, what is said here goes to it.
const peer = client.subscribe("js.to", { max: 1 });
await client.flush();
say({ ready: true });
const [fromPeer] = await take(peer, 1);
fromPeer.respond(`heard ${fromPeer.string()}`, { headers: sent });

// What was sent to a subscription that drains is still handled, and nothing after it.
const drained = client.subscribe("js.drain");
for (let n = 0; n < 100; n++) client.publish("js.drain", `${n}`);
const handled = (async () => {
  let count = 0;
  for await (const _ of drained) count++;
  return count;
})();
const pending = client.drain();
say({ handled: await handled, late: (await failure(Promise.resolve().then(() => client.publish("js.drain")))).name });
await pending;
say({ closed: client.isClosed() });
await finish();
