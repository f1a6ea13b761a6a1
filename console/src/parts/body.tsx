// The body of a message: JSON, text or bytes.
import { type Json, parseJson } from "./json";
import { JsonTree } from "./json_tree";
import { decodeText, hexDump, LongText } from "./text";

export function Body({ data }: { data: Uint8Array }) {
  if (data.length === 0) return <p class="note">It is empty.</p>;
  const text = decodeText(data);
  if (text === null) {
    return (
      <>
        <p class="note">{data.length.toLocaleString()} bytes that are not UTF-8:</p>
        <LongText text={hexDump(data)} mono />
      </>
    );
  }
  const json = asJson(text);
  return json === undefined ? <LongText text={text} /> : <JsonTree value={json} />;
}

// An object or a list; undefined if the text is something else.
export function asJson(text: string): Json | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
