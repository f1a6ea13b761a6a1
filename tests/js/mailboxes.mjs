// The four commands, replay by priority, replies that delete, and queue groups of a mailbox.
import { headers } from "@nats-io/nats-core";
import { ask, finish, MAILBOX, open, receive, report, take, waitLong } from "./lib.mjs";

const client = await open();
const { address } = await receive();

report({ created: await ask(client, "CREATE", { name: address, ttl: 600 }) });
report({ again: await ask(client, "CREATE", { name: address }) });
report({ generated: (await ask(client, "CREATE", { prefix: "js" })).mail_address });

const sent = [];
for (const [tail, body] of [["", "n0"], [".urgent", "u1"], ["", "n2"], [".critical", "c3"], [".urgent", "u4"]]) {
  sent.push((await ask(client, `MSG.${address}${tail}`, body)).msg_id);
}
report({ sent });
const marked = headers();
marked.set("Kind", "marked");
await client.request(`${MAILBOX}MSG.${address}.critical`, "c5", { ...waitLong, headers: marked });
const page = await ask(client, `LIST.${address}`, { limit: 2 });
const rest = await ask(client, `LIST.${address}`, { limit: 10, cursor: page.next });
report({ total: page.total, listed: [...page.messages, ...rest.messages].map((message) => message.payload) });

const inbox = client.subscribe(`${MAILBOX}MSG.${address}`);
const replayed = await take(inbox, 6);
report({
  replayed: replayed.map((message) => message.string()),
  subjects: replayed.map((message) => message.subject.slice(MAILBOX.length)),
  kind: replayed[1].headers?.get("Kind"),
});

replayed[0].respond();
replayed[1].respond("+ACK");
await client.flush();
report({ deleted: await ask(client, `DELETE.${address}.0`), gone: await ask(client, `DELETE.${address}.0`) });
report({ left: (await ask(client, `LIST.${address}`)).messages.map((message) => message.payload) });

const only = client.subscribe(`${MAILBOX}MSG.${address}.urgent`);
report({ urgent: (await take(only, 2)).map((message) => message.string()) });
only.unsubscribe();

// Members of a queue group share the messages. A message that one refuses with -NAK is delivered again.
const taken = [];
const member = (name) =>
  client.subscribe(`${MAILBOX}MSG.${address}`, {
    queue: "workers",
    callback: (_, message) => {
      taken.push([name, message.string()]);
      message.respond(taken.length === 1 ? "-NAK" : "");
    },
  });
member("a");
member("b");
while (taken.length < 4) await client.flush();
while ((await ask(client, `LIST.${address}`)).total > 0);
report({ taken });

report({ absent: await ask(client, "MSG.no.such.mailbox", "x") });
report({ unknown: await ask(client, "BURN") });
await finish(client);
