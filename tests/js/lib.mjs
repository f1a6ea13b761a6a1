// Helpers for all scripts. Each script connects to NATS_URL, over TCP or WebSocket, and reports what it observes as
// lines of JSON. tests/clients/test_js_client.py checks them.
import { wsconnect } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { createInterface } from "node:readline";

export const MAILBOX = "$mq9.AI.MAILBOX.";

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const report = (observed) => console.log(JSON.stringify(observed));

// The next value that the test sends, as a line of JSON.
export const receive = async () => JSON.parse((await lines.next()).value);

export const open = (options = {}) => {
  const servers = process.env.NATS_URL;
  return (servers.startsWith("ws") ? wsconnect : connect)({ servers, ...options });
};

// Options of a request: the client's default timeout, one second, is too short on a busy machine.
export const waitLong = { timeout: 60000 };

// Send a mailbox command and return its reply.
export const ask = async (client, command, fields = {}) => {
  const payload = typeof fields === "string" ? fields : JSON.stringify(fields);
  return (await client.request(MAILBOX + command, payload, waitLong)).json();
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

// The name and the message of the error that a promise fails with, or null.
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
