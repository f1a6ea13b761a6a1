// What the scripts share. Each connects to NATS_URL, by TCP or WebSocket as its scheme says, and reports what
// it observed as lines of JSON; the tests beside it decide whether that is right.
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { createInterface } from "node:readline";

export const MAILBOX = "$mq9.AI.MAILBOX.";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const say = (observed) => console.log(JSON.stringify(observed));

// Wait for the test to say go on; what it says is JSON.
export const told = async () => JSON.parse((await lines.next()).value);

export const open = (options = {}) => {
  const servers = process.env.NATS_URL;
  return (servers.startsWith("ws") ? wsconnect : connect)({ servers, ...options });
};

// How long an answer may take: the client's own second is for machines at rest.
export const patient = { timeout: 60000 };

// A mailbox command: its reply.
export const ask = async (client, command, fields = {}) => {
  const payload = typeof fields === "string" ? fields : JSON.stringify(fields);
  return (await client.request(MAILBOX + command, payload, patient)).json();
};

// The next `count` messages of a subscription.
export const take = async (subscription, count) => {
  const messages = [];
  for await (const message of subscription) {
    messages.push(message);
    if (messages.length === count) break;
  }
  return messages;
};

// How a promise failed: the name and the message of its error.
export const failure = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return { name: error.name, message: error.message };
  }
  return null;
};

process.on("unhandledRejection", (error) => {
  console.error(error);
  process.exit(1);
});

export const finish = async (client) => {
  await client?.close();
  process.stdin.destroy();
};
