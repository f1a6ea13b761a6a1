// A form that sends a message to a mailbox.
import { useState } from "preact/hooks";
import type { Connection } from "../nats/connection";
import { PRIORITIES, type Priority, send } from "../nats/mailbox";

export function Send({ connection, address, onSent }: { connection: Connection; address: string; onSent: () => void }) {
  const [priority, setPriority] = useState<Priority>("normal");
  const [body, setBody] = useState("");
  const [headers, setHeaders] = useState("");
  const [told, setTold] = useState("");
  const [problem, setProblem] = useState("");
  const submit = async () => {
    setTold("");
    setProblem("");
    try {
      const { msg_id: id } = await send(connection, address, priority, body, readHeaders(headers));
      setTold(`Sent as message ${id}.`);
      setBody("");
      onSent();
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <details>
      <summary>Send a message</summary>
      <form
        class="panel"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <label>
          Priority
          <select value={priority} onChange={(event) => setPriority(event.currentTarget.value as Priority)}>
            {PRIORITIES.map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        </label>
        <label>
          Headers, one a line, such as Mq9-Reply-To: agent.a
          <textarea rows={2} value={headers} onInput={(event) => setHeaders(event.currentTarget.value)} spellcheck={false} />
        </label>
        <label>
          Body
          <textarea rows={5} value={body} onInput={(event) => setBody(event.currentTarget.value)} spellcheck={false} />
        </label>
        <div class="buttons">
          <button class="approve">Send</button>
        </div>
        {told && <p role="status">{told}</p>}
        {problem && <p role="alert">{problem}</p>}
      </form>
    </details>
  );
}

// Throws Error if a line is no header.
function readHeaders(text: string): Record<string, string> {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return Object.fromEntries(
    lines.map((line) => {
      const found = /^([^:\s]+):\s*(.*)$/.exec(line);
      if (found === null) throw new Error(`This line is no header: ${line}`);
      return [found[1]!, found[2]!.trim()];
    }),
  );
}
