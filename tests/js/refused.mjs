// What the broker refuses, and how the client tells.
import { failure, finish, MAILBOX, open, say } from "./lib.mjs";

const client = await open();

const refused = async (subject, options) => {
  const subscription = client.subscribe(subject, options);
  try {
    for await (const _ of subscription);
  } catch (error) {
    return { name: error.name, operation: error.operation, subject: error.subject, queue: error.queue };
  }
  return null;
};
say({ wildcard: await refused(`${MAILBOX}MSG.*`) });
say({ other: await refused("$mq9.other", { queue: "q" }) });

const tooMuch = "x".repeat(client.info.max_payload + 1);
say({ payload: await failure((async () => client.publish("js.payload", tooMuch))()) });

// None of that has harmed the connection.
const subscription = client.subscribe("js.after", { max: 1 });
client.publish("js.after", "still here");
for await (const message of subscription) say({ after: message.string() });
await finish(client);
