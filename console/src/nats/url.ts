// The broker is where the page came from.

export function brokerUrl(): string {
  const url = new URL(".", location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

// Whether clients must sign in, as the INFO of the broker says, with which it greets.
export function asksToSignIn(): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = new WebSocket(brokerUrl());
    socket.binaryType = "arraybuffer";
    let greeting = "";
    const end = (asks: boolean) => {
      socket.close();
      resolve(asks);
    };
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
      greeting += typeof data === "string" ? data : new TextDecoder().decode(data);
      const line = /^INFO (.*)\r\n/.exec(greeting);
      if (line) end((JSON.parse(line[1]!) as { auth_required?: boolean }).auth_required === true);
    };
    socket.onerror = () => end(true);
  });
}
