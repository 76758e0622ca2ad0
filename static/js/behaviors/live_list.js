// `data-live-list` names a list that asks for itself again when the server says that something changed.
import { onChange } from "./workspace_socket.js";

const place = document.querySelector("[data-live-list]");
const AT_MOST_EVERY_MS = 700;

let pending = null;

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

if (place) onChange(refreshSoon);
