// Text of others. It stays text: what could change the order or the look of other text becomes visible.
import { useState } from "preact/hooks";

const FIRST_CHARACTERS = 4000;
// Control characters but tab and line feed, and those that turn the direction of text around.
const INVISIBLE = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const BYTES_OF_A_DUMP = 4096;

export function visible(text: string): string {
  return text.replace(INVISIBLE, (each) => `⟨${each.charCodeAt(0).toString(16).padStart(4, "0")}⟩`);
}

// The text of bytes, or null if they are not UTF-8.
export function decodeText(data: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return null;
  }
}

export function hexDump(data: Uint8Array): string {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, BYTES_OF_A_DUMP); at += 16) {
    const bytes = [...data.subarray(at, at + 16)];
    const hex = bytes.map((each) => each.toString(16).padStart(2, "0")).join(" ");
    const text = bytes.map((each) => (each >= 32 && each < 127 ? String.fromCharCode(each) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex.padEnd(47)}  ${text}`);
  }
  return lines.join("\n");
}

// A short text in a line.
export function Inline({ text }: { text: string }) {
  return <bdi dir="auto">{visible(text)}</bdi>;
}

// A text of any length; the rest of a long one is shown on demand.
export function LongText({ text, mono = false }: { text: string; mono?: boolean }) {
  const [isWhole, setWhole] = useState(false);
  const isLong = text.length > FIRST_CHARACTERS;
  return (
    <>
      <pre class={mono ? "mono" : ""} dir="auto" tabIndex={isLong ? 0 : undefined}>
        {visible(isLong && !isWhole ? text.slice(0, FIRST_CHARACTERS) : text)}
      </pre>
      {isLong && !isWhole && (
        <button type="button" class="quiet" onClick={() => setWhole(true)}>
          Show all {text.length.toLocaleString()} characters
        </button>
      )}
    </>
  );
}
