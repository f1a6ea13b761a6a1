// The connections of the broker.
import { bytesText } from "../parts/facts";
import { Inline } from "../parts/text";
import type { Connz } from "./reading";

export function Connections({ connz: { connections, total } }: { connz: Connz }) {
  return (
    <>
      <h2>
        {total.toLocaleString()} connections{total > connections.length && `, ${connections.length} shown`}
      </h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="Connections">
        <table>
          <thead>
            <tr>
              <th scope="col">Client</th>
              <th scope="col">User</th>
              <th scope="col">Address</th>
              <th scope="col">Since</th>
              <th scope="col" class="number">Subscriptions</th>
              <th scope="col" class="number">In</th>
              <th scope="col" class="number">Out</th>
              <th scope="col" class="number">Unsent</th>
            </tr>
          </thead>
          <tbody>
            {connections.map((each) => (
              <tr key={each.cid}>
                <td>
                  <Inline text={each.name || `${each.cid}`} />{" "}
                  <span class="note">
                    <Inline text={each.lang ?? ""} />
                  </span>
                </td>
                <td>
                  <Inline text={each.authorized_user ?? ""} />
                </td>
                <td>
                  {each.ip}:{each.port}
                </td>
                <td>{each.uptime}</td>
                <td class="number">{each.subscriptions}</td>
                <td class="number">{each.in_msgs.toLocaleString()}</td>
                <td class="number">{each.out_msgs.toLocaleString()}</td>
                <td class="number">{bytesText(each.pending_bytes)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
