// The bulletin board: public mailboxes, and those that the user names.
import { useState } from "preact/hooks";
import type { Connection } from "../nats/connection";
import { useReloadOnEvents } from "../nats/events";
import { board, list, type Listing, type OnBoard } from "../nats/mailbox";
import { useLoaded } from "../parts/loaded";
import { Inline } from "../parts/text";
import { durationText, relativeText } from "../parts/time";

const ROWS = 50;

interface Row {
  address: string;
  desc: string;
  // Null if the user may not list it, or if it does not exist.
  listing: Listing | null;
}

export function BoardPage({ connection, named }: { connection: Connection; named: string[] }) {
  const [prefix, setPrefix] = useState("");
  const [limit, setLimit] = useState(ROWS);
  const { value: rows, problem, reload } = useLoaded(connection, () => loadRows(connection, prefix, limit, named), [prefix, limit, named.join(" ")]);
  useReloadOnEvents(connection, (rows ?? []).map(({ address }) => address), reload);
  return (
    <main>
      <h1>Mailboxes</h1>
      <OpenMailbox />
      <div class="buttons">
        <label>
          Public mailboxes that begin with
          <input value={prefix} onInput={(event) => setPrefix(event.currentTarget.value)} autocomplete="off" autocapitalize="off" spellcheck={false} />
        </label>
        <button type="button" onClick={reload}>
          Look again
        </button>
      </div>
      {problem && <p role="alert">{problem}</p>}
      {rows !== null && rows.length === 0 && <p class="empty">There is none that you may see.</p>}
      {rows !== null && rows.length > 0 && <Table rows={rows} />}
      {rows !== null && rows.length >= limit && (
        <button type="button" onClick={() => setLimit(limit + ROWS)}>
          Show more
        </button>
      )}
    </main>
  );
}

function OpenMailbox() {
  const [address, setAddress] = useState("");
  return (
    <form
      class="chosen"
      onSubmit={(event) => {
        event.preventDefault();
        if (address.trim() !== "") location.hash = `#/mailboxes/${address.trim()}`;
      }}
    >
      <label>
        Address
        <input value={address} onInput={(event) => setAddress(event.currentTarget.value)} autocomplete="off" autocapitalize="off" spellcheck={false} />
      </label>
      <button>Open</button>
    </form>
  );
}

function Table({ rows }: { rows: Row[] }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Mailboxes">
      <table>
        <thead>
          <tr>
            <th scope="col">Mailbox</th>
            <th scope="col" class="number">Messages</th>
            <th scope="col">Oldest</th>
            <th scope="col" class="number">In flight</th>
            <th scope="col" class="number">Readers</th>
            <th scope="col">Lives for</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.address}>
              <td>
                <a href={`#/mailboxes/${row.address}`}>{row.address}</a>
                {row.desc !== "" && (
                  <p class="note">
                    <Inline text={row.desc} />
                  </p>
                )}
              </td>
              <Counts listing={row.listing} />
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Counts({ listing }: { listing: Listing | null }) {
  const details = listing?.mailbox;
  if (listing === null || details === undefined) return <td colSpan={5}>It does not exist, or you may not list it.</td>;
  const members = details.groups.reduce((sum, group) => sum + group.members, 0);
  return (
    <>
      <td class="number">{listing.total.toLocaleString()}</td>
      <td>{details.oldest === undefined ? "" : relativeText(details.oldest * 1000)}</td>
      <td class="number">{details.groups.reduce((sum, group) => sum + group.in_flight, 0)}</td>
      <td class="number">{details.readers + members}</td>
      <td>{details.ttl === 0 ? "ever" : durationText(details.ttl)}</td>
    </>
  );
}

async function loadRows(connection: Connection, prefix: string, limit: number, named: string[]): Promise<Row[]> {
  const found = await onBoard(connection, prefix, limit);
  const addresses = new Set([...named, ...found.map((each) => each.mail_address)]);
  return Promise.all(
    [...addresses].map(async (address) => ({
      address,
      desc: found.find((each) => each.mail_address === address)?.desc ?? "",
      listing: await list(connection, address, { limit: 1, meta_only: true }).catch(() => null),
    })),
  );
}

// Public mailboxes, at most `limit`. A page of the board may be short although more follow.
export async function onBoard(connection: Connection, prefix: string, limit: number, more: object = {}): Promise<OnBoard[]> {
  const found: OnBoard[] = [];
  let cursor: string | undefined;
  do {
    const fields = { limit: limit - found.length, ...(prefix ? { prefix } : {}), ...(cursor ? { cursor } : {}), ...more };
    const page = await board(connection, fields);
    found.push(...page.mailboxes);
    cursor = page.next;
  } while (cursor !== undefined && found.length < limit);
  return found;
}
