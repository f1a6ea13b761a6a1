// What the broker refuses, and the errors that the client raises for it.
import { failure, finish, MAILBOX, open, report } from "./lib.mjs";

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
report({ wildcard: await refused(`${MAILBOX}MSG.*`) });
report({ other: await refused("$mq9.other", { queue: "q" }) });

const tooMuch = "x".repeat(client.info.max_payload + 1);
report({ payload: await failure((async () => client.publish("js.payload", tooMuch))()) });

// The connection is still usable.
const subscription = client.subscribe("js.after", { max: 1 });
client.publish("js.after", "still here");
for await (const message of subscription) report({ after: message.string() });
await finish(client);
