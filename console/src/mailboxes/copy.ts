// A message as a command or a program that sends it again.
import type { Listed } from "../nats/mailbox";
import { PREFIX } from "../nats/mailbox";
import { decodeText } from "../parts/text";
import { sentHeaders } from "./replay";

const subject = (address: string, { priority }: Listed) => `${PREFIX}MSG.${address}${priority === "normal" ? "" : `.${priority}`}`;

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

// A JSON string is a string of Python too.
const python = (text: string) => JSON.stringify(text);

// For the nats CLI; null if the body is no text.
export function asCommand(address: string, message: Listed, data: Uint8Array): string | null {
  const text = decodeText(data);
  if (text === null) return null;
  const headers = Object.entries(sentHeaders(message)).map(([name, value]) => ` -H ${quoted(`${name}:${value}`)}`);
  return `nats request${headers.join("")} ${quoted(subject(address, message))} ${quoted(text)}`;
}

// For nats-py.
export function asPython(address: string, message: Listed, data: Uint8Array, url: string): string {
  const text = decodeText(data);
  const base64 = btoa(Array.from(data, (each) => String.fromCharCode(each)).join(""));
  const body = text === null ? `base64.b64decode("${base64}")` : `${python(text)}.encode()`;
  const headers = Object.entries(sentHeaders(message)).map(([name, value]) => `${python(name)}: ${python(value)}`);
  return `import asyncio, ${text === null ? "base64, " : ""}nats


async def main():
    nc = await nats.connect(${python(url)})
    body = ${body}
    headers = {${headers.join(", ")}}
    reply = await nc.request(${python(subject(address, message))}, body, headers=headers or None)
    print(reply.data.decode())
    await nc.close()


asyncio.run(main())
`;
}
