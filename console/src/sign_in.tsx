// Sign in with a name and a password, with a token, or with nothing.
import { useState } from "preact/hooks";
import { Connection, type Credentials } from "./nats/connection";

export const NOBODY: Credentials = { user: "", password: "", token: "" };

export function SignIn({ problem, onSignIn }: { problem: string; onSignIn: (connection: Connection, credentials: Credentials, keep: boolean) => void }) {
  const [credentials, setCredentials] = useState(NOBODY);
  const [keep, setKeep] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [refused, setRefused] = useState("");
  const submit = async () => {
    setBusy(true);
    setRefused("");
    try {
      onSignIn(await Connection.open(credentials), credentials, keep);
    } catch (error) {
      setRefused((error as Error).message);
      setBusy(false);
    }
  };
  const field = (name: keyof Credentials) => ({
    name,
    value: credentials[name],
    onInput: (event: { currentTarget: HTMLInputElement }) => setCredentials({ ...credentials, [name]: event.currentTarget.value }),
    autocapitalize: "off" as const,
    spellcheck: false,
  });
  return (
    <main class="sign-in">
      <h1>mq9fast</h1>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <label>
          User
          <input {...field("user")} autocomplete="username" />
        </label>
        <label>
          Password
          <input {...field("password")} type="password" autocomplete="current-password" />
        </label>
        <details>
          <summary>Sign in with a token instead</summary>
          <label>
            Token
            <input {...field("token")} type="password" autocomplete="off" />
          </label>
        </details>
        <label class="check">
          <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.currentTarget.checked)} /> Stay signed in until
          this tab is closed
        </label>
        <button class="approve" disabled={isBusy}>
          Sign in
        </button>
        {(refused || problem) && <p role="alert">{refused || problem}</p>}
      </form>
    </main>
  );
}
