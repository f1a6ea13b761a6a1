// The mailboxes of the inbox: choose and leave them.
import { useState } from "preact/hooks";
import type { Inbox } from "./inbox";

export function Chosen({ inbox }: { inbox: Inbox }) {
  const [address, setAddress] = useState("");
  return (
    <form
      class="chosen"
      onSubmit={(event) => {
        event.preventDefault();
        if (address.trim() !== "") inbox.choose(address.trim());
        setAddress("");
      }}
    >
      <ul>
        {[...inbox.watches.values()].map((watch) => (
          <li key={watch.address} class={watch.problem ? "wrong" : ""}>
            <a href={`#/mailboxes/${watch.address}`}>{watch.address}</a>
            {watch.isAbsent && " (does not exist)"}
            {watch.problem && <span role="alert"> {watch.problem}</span>}{" "}
            <button type="button" class="quiet" aria-label={`Leave ${watch.address}`} onClick={() => inbox.leave(watch.address)}>
              ✕
            </button>
          </li>
        ))}
      </ul>
      <label>
        Mailbox
        <input value={address} onInput={(event) => setAddress(event.currentTarget.value)} placeholder="approver.zhang" autocomplete="off" autocapitalize="off" spellcheck={false} />
      </label>
      <button>Add</button>
    </form>
  );
}
