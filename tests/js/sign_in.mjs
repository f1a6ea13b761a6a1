// Connect with each set of credentials that the test gives, until it gives null: what comes of it.
import { nkeyAuthenticator } from "@nats-io/nats-core";
import { failure, finish, open, say, told } from "./lib.mjs";

let credentials;
while ((credentials = await told()) !== null) {
  const { seed, ...options } = credentials;
  if (seed) options.authenticator = nkeyAuthenticator(new TextEncoder().encode(seed));
  let client;
  const error = await failure(
    (async () => {
      client = await open({ ...options, reconnect: false, timeout: 10000 });
      await client.flush();
    })(),
  );
  say(error === null ? { in: true, user: credentials.user ?? null } : { in: false, name: error.name });
  await client?.close();
}
await finish();
