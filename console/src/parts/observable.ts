// State that components show. They are rendered again after it changed, several changes at once.
import { useEffect, useReducer } from "preact/hooks";

const PAUSE_MS = 16;

export class Observable {
  private listeners = new Set<() => void>();
  private isDue = false;

  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected changed(): void {
    if (this.isDue) return;
    this.isDue = true;
    // Not requestAnimationFrame: the title shows in a tab that is hidden, too.
    setTimeout(() => {
      this.isDue = false;
      for (const listener of [...this.listeners]) listener();
    }, PAUSE_MS);
  }
}

// Render the component again when the state changes.
export function useObserved(state: Observable): void {
  const [, render] = useReducer((count: number) => count + 1, 0);
  useEffect(() => state.listen(() => render(undefined as never)), [state]);
}
