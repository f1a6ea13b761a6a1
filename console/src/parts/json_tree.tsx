// JSON as a tree, of which only the open parts exist.
import { useState } from "preact/hooks";
import { isObject, type Json, jsonText, NumberText } from "./json";
import { Inline, LongText } from "./text";

const MAX_CHILDREN = 200;

export function JsonTree({ value, open = true }: { value: Json; open?: boolean }) {
  const [isOpen, setOpen] = useState(open);
  if (typeof value === "string") return <LongText text={value} />;
  if (value instanceof NumberText || value === null || typeof value === "boolean") return <code>{jsonText(value)}</code>;
  const entries: [string, Json][] = isObject(value) ? Object.entries(value) : value.map((each, at) => [String(at), each]);
  if (entries.length === 0) return <code>{jsonText(value)}</code>;
  return (
    <details class="tree" open={isOpen} onToggle={(event) => setOpen((event.target as HTMLDetailsElement).open)}>
      <summary>{isObject(value) ? `${entries.length} fields` : `${entries.length} items`}</summary>
      {isOpen && <Fields entries={entries.slice(0, MAX_CHILDREN)} />}
      {isOpen && entries.length > MAX_CHILDREN && <p>… and {entries.length - MAX_CHILDREN} more</p>}
    </details>
  );
}

// Names and values, of which nested ones are closed.
export function Fields({ entries }: { entries: [string, Json][] }) {
  return (
    <dl class="fields">
      {entries.map(([name, value]) => (
        <div key={name}>
          <dt>
            <Inline text={name} />
          </dt>
          <dd>
            <JsonTree value={value} open={false} />
          </dd>
        </div>
      ))}
    </dl>
  );
}
