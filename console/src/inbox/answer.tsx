// Any message can be answered with text, or discarded.
import { useState } from "preact/hooks";
import type { Card } from "./card";
import type { Inbox } from "./inbox";

// The broker would carry these out, instead of sending them.
const ORDER = /^(-NAK|\+WPI|\+TERM|\+ACK|\+NXT)(\s|$)/;

export function Answer({ card, inbox }: { card: Card; inbox: Inbox }) {
  const [text, setText] = useState("");
  const isOrder = ORDER.test(text);
  const answer = () => {
    if (text !== "" && !isOrder) void inbox.decide(card, text, "answer", text);
  };
  return (
    <form
      class="decide"
      onSubmit={(event) => {
        event.preventDefault();
        answer();
      }}
    >
      {card.replyTo !== null && (
        <label>
          Answer
          <input value={text} onInput={(event) => setText(event.currentTarget.value)} autocomplete="off" />
        </label>
      )}
      <div class="buttons">
        {card.replyTo !== null && (
          <button data-choice="answer" class="approve" disabled={card.isSending || text === "" || isOrder}>
            Answer
          </button>
        )}
        <button type="button" data-choice="deny" disabled={card.isSending} onClick={() => void inbox.decide(card, "", "discarded", "")}>
          Discard
        </button>
      </div>
      {isOrder && <p role="alert">An answer cannot begin with this word.</p>}
    </form>
  );
}
