// The decisions that a request offers, with a reason, and a form for other arguments.
import { useState } from "preact/hooks";
import { isObject, jsonText, parseJson } from "../parts/json";
import { visible } from "../parts/text";
import { type ApprovalRequest, decisionBody } from "./approval";
import type { Card } from "./card";
import type { Inbox } from "./inbox";

const LABELS: Record<string, string> = { approve: "Approve", deny: "Deny", edit: "Edit …", answer: "Answer" };

interface Props {
  card: Card;
  request: ApprovalRequest;
  inbox: Inbox;
  // False if the digest is of another action than the one that is shown.
  mayApprove: boolean;
}

export function Decide({ card, request, inbox, mayApprove }: Props) {
  const [reason, setReason] = useState("");
  const [edited, setEdited] = useState<string | null>(null);
  const [problem, setProblem] = useState("");

  const decide = (choice: string, args: string | null = null) => {
    if (choice === "answer" && reason.trim() === "") {
      setProblem("Write the answer first.");
      return;
    }
    setProblem("");
    void inbox.decide(card, decisionBody(request, choice, reason.trim(), args), choice, reason.trim());
  };
  const sendEdited = () => {
    const found = edited === null ? "" : readArguments(edited);
    if (found === null) setProblem("The arguments are not a JSON object.");
    else decide("edit", found);
  };
  const press = (choice: string) => {
    if (choice === "edit") setEdited(jsonText(request.action.arguments, 2));
    else decide(choice);
  };

  return (
    <form class="decide" onSubmit={(event) => event.preventDefault()}>
      {card.replyTo === null && <p role="alert">It names no mailbox for answers: nobody will read your decision.</p>}
      {edited !== null && (
        <label>
          Arguments
          <textarea rows={6} value={edited} onInput={(event) => setEdited(event.currentTarget.value)} spellcheck={false} />
        </label>
      )}
      <label>
        Reason
        <input value={reason} onInput={(event) => setReason(event.currentTarget.value)} maxLength={2000} autocomplete="off" />
      </label>
      <div class="buttons">
        {edited === null ? (
          request.choices.map((choice) => (
            <button type="button" key={choice} class={choice} data-choice={choice} disabled={card.isSending || !(mayApprove || choice === "deny")} onClick={() => press(choice)}>
              {LABELS[choice] ?? visible(choice)}
            </button>
          ))
        ) : (
          <>
            <button type="button" class="approve" disabled={card.isSending} onClick={sendEdited}>
              Approve with these arguments
            </button>
            <button type="button" onClick={() => setEdited(null)}>
              Back
            </button>
          </>
        )}
      </div>
      {problem && <p role="alert">{problem}</p>}
    </form>
  );
}

// The JSON of an object, as it was written; null if it is none.
function readArguments(text: string): string | null {
  try {
    return isObject(parseJson(text)) ? text.trim() : null;
  } catch {
    return null;
  }
}
