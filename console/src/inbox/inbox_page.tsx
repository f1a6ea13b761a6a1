// The inbox: cards of all chosen mailboxes, the most urgent first, and what was decided.
import { useEffect, useRef, useState } from "preact/hooks";
import { useObserved } from "../parts/observable";
import type { Card } from "./card";
import { CardView } from "./card_view";
import { Chosen } from "./chosen";
import { Decided } from "./decided";
import type { Inbox } from "./inbox";
import { useInboxKeys } from "./keys";

const STEP = 50;

export function InboxPage({ inbox, showsDecided }: { inbox: Inbox; showsDecided: boolean }) {
  useObserved(inbox);
  const [limit, setLimit] = useState(STEP);
  const cards = inbox.first(limit);
  const list = useRef<HTMLDivElement>(null);
  useInboxKeys(list);
  useFocusOfNext(list, cards);
  return (
    <main class="inbox">
      <h1>Inbox</h1>
      <Chosen inbox={inbox} />
      <nav class="tabs" aria-label="Inbox">
        <a href="#/inbox" aria-current={showsDecided ? undefined : "page"}>
          Waiting ({inbox.total.toLocaleString()})
        </a>
        <a href="#/inbox/decided" aria-current={showsDecided ? "page" : undefined}>
          Decided ({inbox.decisions.length.toLocaleString()})
        </a>
      </nav>
      <div aria-live="polite">
        {inbox.notices.map((notice) => (
          <p class="notice" key={notice}>
            {notice}{" "}
            <button type="button" class="quiet" onClick={() => inbox.dismiss(notice)}>
              Dismiss
            </button>
          </p>
        ))}
      </div>
      {showsDecided ? (
        <Decided inbox={inbox} />
      ) : (
        <div ref={list} class="cards">
          {cards.length === 0 && <Empty inbox={inbox} />}
          {cards.map((card) => (
            <CardView card={card} inbox={inbox} key={card.key} />
          ))}
          {inbox.total > limit && (
            <button type="button" onClick={() => setLimit(limit + STEP)}>
              Show more ({(inbox.total - limit).toLocaleString()})
            </button>
          )}
        </div>
      )}
    </main>
  );
}

// When the card that has the focus goes, the one in its place gets it.
function useFocusOfNext(list: { current: HTMLDivElement | null }, cards: Card[]): void {
  const focused = useRef(-1);
  const count = useRef(0);
  useEffect(() => {
    const here = [...(list.current?.querySelectorAll<HTMLElement>(".card") ?? [])];
    const at = here.findIndex((card) => card.contains(document.activeElement));
    if (at < 0 && focused.current >= 0 && document.activeElement === document.body && cards.length < count.current) {
      here[Math.min(focused.current, here.length - 1)]?.focus();
    }
    count.current = cards.length;
  });
  useEffect(() => {
    const note = () => {
      const here = [...(list.current?.querySelectorAll(".card") ?? [])];
      focused.current = here.findIndex((card) => card.contains(document.activeElement));
    };
    document.addEventListener("focusin", note);
    return () => document.removeEventListener("focusin", note);
  }, [list]);
}

function Empty({ inbox }: { inbox: Inbox }) {
  if (inbox.watches.size > 0) return <p class="empty">Nothing waits for you.</p>;
  return (
    <div class="empty">
      <p>Choose a mailbox above, such as approver.zhang. To try it, send a request for approval:</p>
      <pre class="mono">{`pip install 'mq9fast[client]'
python - <<'END'
import asyncio, mq9fast

async def main():
    async with mq9fast.connect() as mq9:
        await mq9.create("approver.zhang")
        print(await mq9.approve("approver.zhang", "Deploy 1.7?", "deploy", {"version": "1.7"}))

asyncio.run(main())
END`}</pre>
    </div>
  );
}
