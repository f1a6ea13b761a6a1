// What was decided, by whom, and when.
import { useState } from "preact/hooks";
import { Inline } from "../parts/text";
import { When } from "../parts/time";
import type { Decision } from "./decisions";
import type { Inbox } from "./inbox";

const STEP = 50;

export function Decided({ inbox }: { inbox: Inbox }) {
  const [limit, setLimit] = useState(STEP);
  const { decisions } = inbox;
  const without = [...inbox.watches.values()].filter((watch) => !watch.hasLog && !watch.problem);
  return (
    <>
      {decisions.length === 0 && <p class="empty">Nothing was decided while this page was open.</p>}
      <ul class="decided">
        {decisions.slice(0, limit).map((decision) => (
          <Row decision={decision} key={`${decision.key} ${decision.at}`} />
        ))}
      </ul>
      {decisions.length > limit && (
        <button type="button" onClick={() => setLimit(limit + STEP)}>
          Show more
        </button>
      )}
      {without.map(({ address }) => (
        <p class="note" key={address}>
          Nobody keeps who decides in {address}.{" "}
          <button type="button" class="quiet" onClick={() => void inbox.keepLog(address)}>
            Keep it in {address}.decided
          </button>
        </p>
      ))}
    </>
  );
}

function Row({ decision }: { decision: Decision }) {
  const { by, isMine } = decision;
  return (
    <li>
      <strong class={`decision ${decision.decision}`}>
        <Inline text={decision.decision} />
      </strong>{" "}
      <Inline text={decision.title} />
      {decision.reason !== "" && (
        <span class="reason">
          {" “"}
          <Inline text={decision.reason} />
          {"”"}
        </span>
      )}
      <p class="sender">
        by {by === null ? (isMine ? "you" : "somebody who did not sign in") : <Inline text={by} />}
        {by !== null && isMine && " (you)"} · <When at={decision.at} /> · {decision.key}
      </p>
    </li>
  );
}
