// JSON whose numbers keep the digits that the sender wrote: a person must see, and a digest must cover, just those.

export class NumberText {
  constructor(readonly text: string) {}
}

export type Json = null | boolean | string | NumberText | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

type Reviver = (name: string, value: unknown, context?: { source?: string }) => unknown;

// Whether this browser tells how a number was written.
export let keepsDigits = false;
JSON.parse("1", ((_name, value, context) => {
  keepsDigits = context?.source === "1";
  return value;
}) as Reviver);

// Throws SyntaxError, and RangeError if the nesting is too deep.
export function parseJson(text: string): Json {
  const revive: Reviver = (_name, value, context) =>
    typeof value === "number" ? new NumberText(context?.source ?? String(value)) : value;
  return JSON.parse(text, revive) as Json;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof NumberText);
}

// As text on one line, or indented by `indent` blanks.
export function jsonText(value: Json, indent = 0): string {
  return write(value, indent === 0 ? "" : "\n", " ".repeat(indent), Object.keys);
}

// With the members of each object in the order of their code points, and without blanks.
export function canonicalJson(value: Json): string {
  return write(value, "", "", (object) => Object.keys(object).sort(byCodePoints));
}

function write(value: Json, line: string, indent: string, names: (object: JsonObject) => string[]): string {
  if (value instanceof NumberText) return value.text;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const inner = line + indent;
  const colon = line === "" ? ":" : ": ";
  const parts = Array.isArray(value)
    ? value.map((each) => write(each, line && inner, indent, names))
    : names(value).map((name) => JSON.stringify(name) + colon + write(value[name]!, line && inner, indent, names));
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (parts.length === 0) return `${open}${close}`;
  return open + (line && inner) + parts.join(`,${line && inner}`) + line + close;
}

function byCodePoints(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const difference = left[at]!.codePointAt(0)! - right[at]!.codePointAt(0)!;
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}
