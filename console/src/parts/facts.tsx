// Names and values that the page itself knows.
import type { ComponentChildren } from "preact";
import { Inline } from "./text";

export type Fact = [name: string, value: ComponentChildren];

export function Facts({ facts }: { facts: Fact[] }) {
  return (
    <dl class="fields">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>
            <Inline text={name} />
          </dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function bytesText(count: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const step = count < 1024 ? 0 : Math.min(Math.floor(Math.log2(count) / 10), units.length - 1);
  return `${(count / 1024 ** step).toLocaleString("en", { maximumFractionDigits: 1 })} ${units[step]}`;
}
