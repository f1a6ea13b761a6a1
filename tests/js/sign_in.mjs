// Connect with each set of credentials that the test sends, and report the result, until the test sends null.
import { nkeyAuthenticator } from "@nats-io/nats-core";
import { failure, finish, open, receive, report } from "./lib.mjs";

let credentials;
while ((credentials = await receive()) !== null) {
  const { seed, ...options } = credentials;
  if (seed) options.authenticator = nkeyAuthenticator(new TextEncoder().encode(seed));
  let client;
  const error = await failure(
    (async () => {
      client = await open({ ...options, reconnect: false, timeout: 10000 });
      await client.flush();
    })(),
  );
  report(error === null ? { in: true, user: credentials.user ?? null } : { in: false, name: error.name });
  await client?.close();
}
await finish();
