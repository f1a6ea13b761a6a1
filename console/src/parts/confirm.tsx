// A button that asks once more before it does what cannot be undone.
import { useState } from "preact/hooks";

export function Confirm({ text, really, onConfirm }: { text: string; really: string; onConfirm: () => void }) {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) {
    return (
      <button type="button" onClick={() => setAsking(true)}>
        {text}
      </button>
    );
  }
  return (
    <span class="buttons">
      <button
        type="button"
        class="deny"
        autofocus
        onClick={() => {
          setAsking(false);
          onConfirm();
        }}
      >
        {really}
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        Back
      </button>
    </span>
  );
}
