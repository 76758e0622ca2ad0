// One websocket of the page on which the server says that something of the workspace changed.
const LONGEST_PAUSE_MS = 15_000;
const REFUSED = [4401, 4403];

const address = document.querySelector("[data-live-address]")?.dataset.liveAddress;
const listeners = [];
let pause = 500;

// `listener` gets the kind of each change, and "missed" when there may have been some that were not heard.
export function onChange(listener) {
  listeners.push(listener);
  if (listeners.length === 1 && address) listen(false);
}

function tell(kind) {
  for (const listener of listeners) listener(kind);
}

function listen(isAgain) {
  const place = new URL(address, location.href);
  place.protocol = place.protocol.replace("http", "ws");
  const socket = new WebSocket(place);
  socket.addEventListener("open", () => {
    pause = 500;
    if (isAgain) tell("missed");
  });
  socket.addEventListener("message", (event) => tell(event.data));
  socket.addEventListener("close", (event) => {
    if (REFUSED.includes(event.code)) return;
    setTimeout(() => listen(true), pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  });
}

document.addEventListener("visibilitychange", () => document.hidden || tell("missed"));
