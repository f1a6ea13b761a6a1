// The broker: what it does now, what it holds, its limits, and its connections.
import type { Connection } from "../nats/connection";
import { bytesText, type Fact, Facts } from "../parts/facts";
import { useLoaded } from "../parts/loaded";
import { Connections } from "./connections";
import { monitorUrl, read, type Reading } from "./reading";

// Rates are over this time, between two readings.
const BETWEEN_MS = 1000;

export function BrokerPage({ connection }: { connection: Connection }) {
  const { value: trip, reload: again } = useLoaded(connection, () => connection.roundTrip(), []);
  const { value: readings, problem, reload } = useLoaded(connection, () => readTwice(connection), []);
  const { info } = connection;
  return (
    <main>
      <h1>Broker</h1>
      <Facts
        facts={[
          ["Name", info?.server_name],
          ["Your address", info?.client_ip],
          ["Round trip", trip === null ? "…" : `${trip} ms`],
          ["Largest message", bytesText(info?.max_payload ?? 0)],
        ]}
      />
      <button
        type="button"
        onClick={() => {
          again();
          reload();
        }}
      >
        Measure again
      </button>
      {problem && <p role="alert">{problem}</p>}
      {readings !== null && <Readings before={readings[0]} now={readings[1]} />}
    </main>
  );
}

async function readTwice(connection: Connection): Promise<[Reading, Reading]> {
  const url = await monitorUrl();
  const before = await read(connection, url);
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  return [before, await read(connection, url)];
}

function Readings({ before, now }: { before: Reading; now: Reading }) {
  const { varz, metrics, health, connz } = now;
  const seconds = (now.at - before.at) / 1000;
  const rate = (from: number, to: number) => `${Math.round((to - from) / seconds).toLocaleString()} a second`;
  const facts: Fact[] = [];
  if (varz !== null && before.varz !== null) {
    facts.push(
      ["Messages in", rate(before.varz.in_msgs, varz.in_msgs)],
      ["Messages out", rate(before.varz.out_msgs, varz.out_msgs)],
      ["Processor", `${varz.cpu} % of ${varz.cores * 100} %`],
      ["Memory", bytesText(varz.mem)],
      ["Runs for", varz.uptime],
      ["Connections", `${varz.connections.toLocaleString()} of at most ${varz.max_connections.toLocaleString()}`],
      ["Unsent data of a client", `at most ${bytesText(varz.max_pending)}`],
      ["Slow clients closed", varz.slow_consumers.toLocaleString()],
    );
  }
  return (
    <>
      {health?.error !== undefined && <p role="alert">{health.error}</p>}
      <Facts facts={facts} />
      {metrics === null || before.metrics === null ? (
        <p class="note">
          More is on the monitoring port of the broker, which cannot be read from here. Its setting is monitor_port; by default it listens
          on loopback only.
        </p>
      ) : (
        <Store before={before.metrics} now={metrics} rate={rate} />
      )}
      {connz !== null && <Connections connz={connz} />}
    </>
  );
}

interface StoreProps {
  before: Map<string, number>;
  now: Map<string, number>;
  rate: (from: number, to: number) => string;
}

function Store({ before, now, rate }: StoreProps) {
  const value = (name: string) => now.get(`mq9fast_${name}`) ?? 0;
  const change = (name: string) => value(name) - (before.get(`mq9fast_${name}`) ?? 0);
  const rateOf = (name: string) => rate(before.get(`mq9fast_${name}`) ?? 0, value(name));
  // Of the last second; if there was none, of all since the broker started.
  const of = change("sync_seconds_count") > 0 ? change : value;
  const [syncs, seconds] = [of("sync_seconds_count"), of("sync_seconds_sum")];
  const refused = [...now].filter(([name, count]) => name.startsWith("mq9fast_limit_exceeded_total") && count > 0);
  return (
    <>
      <h2>Store</h2>
      <Facts
        facts={[
          ["State", value("store_healthy") === 1 ? "healthy" : "faulty"],
          ["Mailboxes", value("mailboxes").toLocaleString()],
          ["Messages", value("mailbox_messages").toLocaleString()],
          ["Size", bytesText(value("mailbox_bytes"))],
          ["Stored", rateOf("mailbox_messages_accepted_total")],
          ["Deleted", rateOf("mailbox_messages_deleted_total")],
          ["Fsync", syncs === 0 ? "none yet" : `${((seconds / syncs) * 1000).toFixed(2)} ms each, ${rateOf("sync_seconds_count")}`],
          ...refused.map(([name, count]): Fact => [`Refused by ${/limit="(.*)"/.exec(name)?.[1] ?? "a limit"}`, count.toLocaleString()]),
        ]}
      />
    </>
  );
}
