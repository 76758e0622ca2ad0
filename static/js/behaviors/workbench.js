// The workbench as a whole: its websocket and what is said about it, swaps that keep what a person does, timers, keys.
const LOST_AFTER_MS = 2000;
const BACK_FOR_MS = 4000;
const bench = document.getElementById("bench");
const lost = document.getElementById("link-lost");
const back = document.getElementById("link-back");

// ---- websocket ------------------------------------------------------------------------------------------------------------
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
  if (code === 4403) return refuse("This page may not follow the agent.", "Reload it to see why.");
  if (code === 4404) return refuse("The agent or this conversation was deleted.", "What you typed is kept until you leave this page.");
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

// ---- swaps ------------------------------------------------------------------------------------------------------------------
// What a person opened, wrote or is editing is not the server's to change.
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) => {
  if (!(old instanceof Element) || !(fresh instanceof Element)) return true;
  if (old.matches("[data-drawn]")) return false;
  // A timer goes on by itself; the server's figure only sets it right.
  if (old.matches("[data-timer]") && fresh.matches("[data-timer]")) {
    if (fresh.dataset.timer > 0) old.dataset.timer = fresh.dataset.timer;
    return false;
  }
  if (old.matches("time[data-clock]") && old.dateTime === fresh.dateTime) return false;
  if (old.matches("[data-editing]")) return false;
  // A call that ends closes by itself, unless somebody chose.
  if (old.matches("details.call") && old.dataset.state === fresh.dataset.state) fresh.open = old.open;
  else if (old.matches("details") && ("chosen" in old.dataset || !old.matches(".call"))) fresh.open = old.open;
  if ("chosen" in old.dataset) fresh.dataset.chosen = "";
  return true;
};
document.addEventListener("click", (event) => {
  const details = event.target.closest("summary")?.parentElement;
  if (details) details.dataset.chosen = "";
});

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const target = event.detail.target;
  const editing = target?.closest?.("[data-editing]") ?? target?.querySelector?.("[data-editing]");
  const isUsed = target?.id === "part-archival" && (target.querySelector("[name=query]").value || target.querySelector(".add-passage[open], .htmx-request"));
  const isTyping = isUsed || (target?.id?.startsWith("part-") && target.querySelector("input:focus, textarea:focus, .menu[open]"));
  if (!editing && !isTyping) return;
  event.detail.shouldSwap = false;
  const note = editing?.querySelector("[data-moved]");
  if (note && target.id === editing.id) note.hidden = false;
});

// The focus goes into an editor when it opens, and back to its pencil when it closes.
let focusAfter = null;
document.addEventListener("htmx:beforeSwap", (event) => {
  focusAfter = event.detail.target?.contains(document.activeElement) ? event.detail.target.id : null;
});
document.addEventListener("htmx:afterSettle", () => {
  const place = focusAfter && document.getElementById(focusAfter);
  focusAfter = null;
  if (!place || place.contains(document.activeElement)) return;
  const field = place.querySelector("[aria-invalid='true'], [autofocus]") ?? place.querySelector("[hx-get*='edit'], select, summary, button, a");
  field?.focus({ preventScroll: true });
});
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-menu-close]")) event.target.closest("details").open = false;
});

// ---- timers -----------------------------------------------------------------------------------------------------------------
const began = new WeakMap();
setInterval(() => {
  for (const timer of document.querySelectorAll("[data-timer]")) {
    const known = began.get(timer);
    const offset = Number(timer.dataset.timer);
    if (!known || known.offset !== offset) began.set(timer, { offset, from: performance.now() - offset });
    const ms = performance.now() - began.get(timer).from;
    if (ms < 400) continue;
    const text = ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 1000)} s`;
    if (timer.textContent !== text) timer.textContent = text;
  }
}, 100);

// ---- panes and keys ---------------------------------------------------------------------------------------------------------
const isSeen = (element) => element && getComputedStyle(element).display !== "none";

function toggle(side) {
  if (isSeen(document.querySelector(".pane-tabs"))) {
    const wanted = document.getElementById(side === "left" ? "tab-1" : "tab-3");
    (wanted.checked ? document.getElementById("tab-2") : wanted).click();
  } else if (side === "left" && isSeen(document.getElementById("drawer").parentElement)) {
    document.getElementById("drawer").click();
  } else bench.toggleAttribute(`data-no-${side}`);
}

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key === "[") toggle("left");
  else if (event.key === "]") toggle("right");
  else if (event.key === "/") {
    event.preventDefault();
    if (isSeen(document.querySelector(".pane-tabs"))) document.getElementById("tab-2").click();
    document.getElementById("say")?.focus();
  }
});

// A block that a line of the transcript speaks of is shown, whichever pane is in front.
document.addEventListener("click", (event) => {
  const link = event.target.closest("[data-show-block]");
  if (!link) return;
  event.preventDefault();
  if (isSeen(document.querySelector(".pane-tabs"))) document.getElementById("tab-3").click();
  bench.removeAttribute("data-no-right");
  const card = document.getElementById(link.hash.slice(1));
  card?.scrollIntoView({ block: "nearest" });
  card?.querySelector("a")?.focus({ preventScroll: true });
});

if (!/Mac|iPhone|iPad/.test(navigator.platform)) {
  for (const key of document.querySelectorAll("[data-send-key]")) key.textContent = "Ctrl ↵";
}
