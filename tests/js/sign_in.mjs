// Connect with each set of credentials that the test gives, until it gives null: what comes of it.
import { failure, finish, open, say, told } from "./lib.mjs";

let credentials;
while ((credentials = await told()) !== null) {
  let client;
  const error = await failure(
    (async () => {
      client = await open({ ...credentials, reconnect: false, timeout: 10000 });
      await client.flush();
    })(),
  );
  say(error === null ? { in: true, user: credentials.user ?? null } : { in: false, name: error.name });
  await client?.close();
}
await finish();
