// Keys of the inbox: j and k move between cards; a, d, e and w move to a decision, which Enter then makes.
import { useEffect } from "preact/hooks";
import { isTyping } from "../parts/keys";

const CHOICES: Record<string, string> = { a: "approve", d: "deny", e: "edit", w: "answer" };

export function useInboxKeys(list: { current: HTMLElement | null }): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (isTyping(event) || list.current === null) return;
      const cards = [...list.current.querySelectorAll<HTMLElement>(".card")];
      const at = cards.findIndex((card) => card.contains(document.activeElement));
      if (event.key === "j") focus(cards[Math.min(at + 1, cards.length - 1)]);
      else if (event.key === "k") focus(cards[Math.max(at - 1, 0)]);
      else if (event.key in CHOICES) {
        const card = cards[Math.max(at, 0)];
        card?.querySelector<HTMLElement>(`[data-choice="${CHOICES[event.key]}"]`)?.focus();
      } else return;
      event.preventDefault();
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [list]);
}

function focus(card: HTMLElement | undefined): void {
  card?.focus();
  card?.scrollIntoView({ block: "nearest" });
}
