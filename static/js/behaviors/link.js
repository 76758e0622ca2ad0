// The websocket of a page that follows runs, and what is said about it: lost, back, refused.
const LOST_AFTER_MS = 2000;
const BACK_FOR_MS = 4000;
const bench = document.getElementById("bench");
const lost = document.getElementById("link-lost");
const back = document.getElementById("link-back");

let wrapper = null;
let lostAt = 0;
let isShown = false;

htmx.config.wsReconnectDelay = (count) => Math.min(500 * 2 ** count, 8000);
// Each connection says what the page has, so that the server draws what came after.
htmx.createWebSocket = (address) => {
  const url = new URL(address);
  const runs = document.querySelectorAll("#runs > [data-run]");
  if (runs.length) url.searchParams.set("since", runs[runs.length - 1].dataset.run);
  if (lostAt) url.searchParams.set("again", "1");
  return new WebSocket(url);
};

document.addEventListener("htmx:wsOpen", (event) => {
  wrapper = event.detail.socketWrapper;
});
document.addEventListener("htmx:wsClose", (event) => {
  wrapper = event.detail.socketWrapper;
  const code = event.detail.event?.code;
  if (code === 4401) return location.reload();
  if (code === 4403) return refuse("This page may not follow it.", "Reload it to see why.");
  if (code === 4404) return refuse(bench.dataset.gone, bench.dataset.goneMore ?? "");
  lostAt ||= Date.now();
});

function refuse(words, more) {
  lost.querySelector("[data-link-words]").textContent = words;
  lost.querySelector("[data-link-more]").textContent = more;
  lost.querySelector("[data-link-retry]").hidden = true;
  lost.hidden = false;
}

// The server's first frame ends with this mark: only then nothing is missing.
document.addEventListener("htmx:wsBeforeMessage", (event) => {
  if (!event.detail.message.includes('id="link-state"')) return;
  bench.dataset.link = "ready";
  if (isShown) {
    lost.hidden = true;
    back.hidden = false;
    setTimeout(() => (back.hidden = true), BACK_FOR_MS);
  }
  lostAt = 0;
  isShown = false;
});

setInterval(() => {
  if (!lostAt || Date.now() - lostAt < LOST_AFTER_MS) return;
  isShown = true;
  delete bench.dataset.link;
  back.hidden = true;
  lost.querySelector("[data-link-words]").textContent = `Connection lost ${Math.round((Date.now() - lostAt) / 1000)} s ago.`;
  lost.hidden = false;
}, 500);
lost.querySelector("[data-link-retry]").addEventListener("click", () => wrapper?.reconnect());
