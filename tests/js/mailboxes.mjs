// The four commands, replay by priority, answers that discard, and queue groups of a mailbox.
import { headers } from "@nats-io/nats-core";
import { ask, finish, MAILBOX, open, patient, say, take, told } from "./lib.mjs";

const client = await open();
const { address } = await told();

say({ created: await ask(client, "CREATE", { name: address, ttl: 600 }) });
say({ again: await ask(client, "CREATE", { name: address }) });
say({ generated: (await ask(client, "CREATE", { prefix: "js" })).mail_address });

const sent = [];
for (const [tail, body] of [["", "n0"], [".urgent", "u1"], ["", "n2"], [".critical", "c3"], [".urgent", "u4"]]) {
  sent.push((await ask(client, `MSG.${address}${tail}`, body)).msg_id);
}
say({ sent });
const marked = headers();
marked.set("Kind", "marked");
await client.request(`${MAILBOX}MSG.${address}.critical`, "c5", { ...patient, headers: marked });
const page = await ask(client, `LIST.${address}`, { limit: 2 });
const rest = await ask(client, `LIST.${address}`, { limit: 10, cursor: page.next });
say({ total: page.total, listed: [...page.messages, ...rest.messages].map((message) => message.payload) });

const inbox = client.subscribe(`${MAILBOX}MSG.${address}`);
const replayed = await take(inbox, 6);
say({
  replayed: replayed.map((message) => message.string()),
  subjects: replayed.map((message) => message.subject.slice(MAILBOX.length)),
  kind: replayed[1].headers?.get("Kind"),
});

replayed[0].respond();
replayed[1].respond("+ACK");
await client.flush();
say({ deleted: await ask(client, `DELETE.${address}.0`), gone: await ask(client, `DELETE.${address}.0`) });
say({ left: (await ask(client, `LIST.${address}`)).messages.map((message) => message.payload) });

const only = client.subscribe(`${MAILBOX}MSG.${address}.urgent`);
say({ urgent: (await take(only, 2)).map((message) => message.string()) });
only.unsubscribe();

// Members of a group share; what one gives back goes to another.
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
say({ taken });

say({ absent: await ask(client, "MSG.no.such.mailbox", "x") });
say({ unknown: await ask(client, "BURN") });
await finish(client);
