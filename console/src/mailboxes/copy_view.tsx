// Shows a message as a command and as a program, to copy.
import type { Listed } from "../nats/mailbox";
import { visible } from "../parts/text";
import { asCommand, asPython } from "./copy";

// The page came over HTTP or HTTPS; clients of other kinds use the port for clients.
const CLIENT_URL = `nats://${location.hostname}:4222`;

export function Copy({ address, message, data }: { address: string; message: Listed; data: Uint8Array }) {
  const texts: [string, string | null][] = [
    ["nats CLI", asCommand(address, message, data)],
    ["Python", asPython(address, message, data, CLIENT_URL)],
  ];
  return (
    <>
      {texts.map(([name, text]) => (
        <section key={name}>
          <h3>{name}</h3>
          {text === null ? (
            <p class="note">The body is not text.</p>
          ) : (
            <>
              <pre class="mono" tabIndex={0}>
                {visible(text)}
              </pre>
              {navigator.clipboard && (
                <button type="button" onClick={() => void navigator.clipboard.writeText(text)}>
                  Copy
                </button>
              )}
            </>
          )}
        </section>
      ))}
    </>
  );
}
