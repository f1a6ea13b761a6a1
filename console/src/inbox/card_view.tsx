// A card: who asks, for what, and the decisions that are offered.
import { useEffect, useState } from "preact/hooks";
import { Body } from "../parts/body";
import { Fields } from "../parts/json_tree";
import { Inline } from "../parts/text";
import { Expiry } from "../parts/time";
import { type ApprovalRequest, isDigestRight } from "./approval";
import type { Card } from "./card";
import { Answer } from "./answer";
import { Decide } from "./decide";
import type { Inbox } from "./inbox";

export function CardView({ card, inbox }: { card: Card; inbox: Inbox }) {
  const { request } = card;
  const isRight = useDigest(request);
  const titleId = `title-${card.key}`;
  return (
    <article class={`card ${card.priority}`} tabIndex={-1} aria-labelledby={titleId} data-key={card.key}>
      <header>
        <span class="priority">{card.priority}</span>
        <h2 id={titleId}>
          <Inline text={request?.title ?? card.key} />
        </h2>
        <Sender card={card} />
      </header>
      {request === null ? <Body data={card.data} /> : <Action request={request} isRight={isRight} />}
      {request === null ? <Answer card={card} inbox={inbox} /> : <Decide card={card} request={request} inbox={inbox} mayApprove={isRight !== false} />}
      {card.isSending && <p role="status">Sending your decision …</p>}
      {card.problem && <p role="alert">{card.problem}</p>}
    </article>
  );
}

function Sender({ card }: { card: Card }) {
  const where = <a href={`#/mailboxes/${card.address}`}>{card.key}</a>;
  return (
    <p class="sender">
      {card.sender === null ? (
        <span class="unsigned">unsigned: anybody may have sent it</span>
      ) : (
        <span class="proved">
          <strong>
            <Inline text={card.sender} />
          </strong>{" "}
          asks, proved by sign-in
        </span>
      )}{" "}
      · {where}
    </p>
  );
}

// Whether the digest is right; null as long as that is not known.
function useDigest(request: ApprovalRequest | null): boolean | null {
  const [isRight, setRight] = useState<boolean | null>(null);
  useEffect(() => {
    if (request !== null) void isDigestRight(request).then(setRight);
  }, [request]);
  return isRight;
}

function Action({ request, isRight }: { request: ApprovalRequest; isRight: boolean | null }) {
  return (
    <>
      <p>
        Action: <code class="action">{<Inline text={request.action.name} />}</code>
      </p>
      <Fields entries={Object.entries(request.action.arguments)} />
      {request.risk !== null && (
        <p class="risk">
          Risk: <strong>{<Inline text={request.risk.level} />}</strong>
          {request.risk.reasons.map((reason) => (
            <>
              {" "}
              · <Inline text={reason} />
            </>
          ))}
        </p>
      )}
      {request.expiresAt !== null && <Expiry at={request.expiresAt} />}
      {isRight === false && (
        <p role="alert">The digest of this request is not that of the action above. It cannot be approved.</p>
      )}
    </>
  );
}
