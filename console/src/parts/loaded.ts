// What a component loads from the broker, and loads again when it is told to, or when the connection is back.
import { useEffect, useState } from "preact/hooks";
import type { Connection } from "../nats/connection";

export interface Loaded<T> {
  value: T | null;
  problem: string;
  reload: () => void;
}

// `load` runs again when one of `inputs` changes.
export function useLoaded<T>(connection: Connection, load: () => Promise<T>, inputs: unknown[]): Loaded<T> {
  const [value, setValue] = useState<T | null>(null);
  const [problem, setProblem] = useState("");
  const [count, setCount] = useState(0);
  useEffect(() => {
    let isCurrent = true;
    load().then(
      (found) => {
        if (!isCurrent) return;
        setValue(() => found);
        setProblem("");
      },
      (error: Error) => isCurrent && setProblem(error.message),
    );
    return () => {
      isCurrent = false;
    };
  }, [count, ...inputs]);
  const reload = () => setCount((before) => before + 1);
  useEffect(() => connection.onReturn(reload), [connection]);
  return { value, problem, reload };
}
