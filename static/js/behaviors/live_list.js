// `data-live-list` names a list that asks for itself again when the server says that something changed.
const place = document.querySelector("[data-live-list]");
const AT_MOST_EVERY_MS = 700;
const LONGEST_PAUSE_MS = 15_000;
const REFUSED = [4401, 4403];

let pending = null;
let pause = 500;

function refresh() {
  pending = null;
  const list = document.querySelector(place.dataset.liveList);
  if (!list || !window.htmx) return;
  const chosen = document.querySelector('tr[data-row][aria-selected="true"]')?.id;
  htmx
    .ajax("GET", location.pathname + location.search, { target: list, swap: "morph:outerHTML", source: place })
    .then(() => chosen && document.getElementById(chosen)?.setAttribute("aria-selected", "true"));
}

// Many changes at once are one request; a page that nobody sees asks when it is seen again.
function refreshSoon() {
  if (!document.hidden) pending ??= setTimeout(refresh, AT_MOST_EVERY_MS);
}

function listen(isAgain) {
  const address = new URL(place.dataset.liveAddress, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  socket.addEventListener("open", () => {
    pause = 500;
    if (isAgain) refreshSoon();
  });
  socket.addEventListener("message", refreshSoon);
  socket.addEventListener("close", (event) => {
    if (REFUSED.includes(event.code)) return;
    setTimeout(() => listen(true), pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  });
}

if (place) {
  listen(false);
  document.addEventListener("visibilitychange", refreshSoon);
}
