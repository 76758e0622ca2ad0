// The page of a block, live: who else is here, and what was saved meanwhile. What somebody typed is never touched.
import { notify } from "./notices.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const SAY_EVERY_MS = 5000;
const RECOUNT_AT_MOST_EVERY_MS = 3000;
const REFUSED = [4401, 4403, 4404];
const LOADED = "block-loaded";

const place = document.querySelector("[data-block-live]");
const form = document.getElementById("block-form");
const banner = document.getElementById("block-moved");

const state = () => JSON.stringify([...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken"));
const loaded = form ? state() : "";
let isLeaving = false;
let recount = null;

function isDirty() {
  if (!form) return false;
  const note = document.querySelector("[data-unsaved-note]");
  return "hasDraft" in place.dataset || state() !== loaded || Boolean(note && !note.hidden);
}

// Loads the page anew, in the view that it is in.
function follow() {
  const view = document.querySelector("[data-views]")?.dataset.views;
  const address = new URL(location.href);
  if (view && view !== "diff") address.searchParams.set("view", view);
  address.hash = "";
  location.replace(address);
}

// ---- what the server says -----------------------------------------------------------------------------------------------------
const frames = {
  presence: ({ html }) => {
    place.innerHTML = html;
  },
  moved: ({ html, version, by }) => {
    if (isLeaving) return;
    if (version && !isDirty()) {
      const { id, selectionStart } = document.activeElement;
      sessionStorage.setItem(LOADED, JSON.stringify({ at: location.pathname, version, by, id, selectionStart }));
      follow();
      return;
    }
    banner.innerHTML = html;
    banner.hidden = false;
    htmx.process(banner);
    htmx.trigger(document.body, "block-moved");
  },
  readers: () => {
    // Many turns at once are one count.
    recount ??= setTimeout(() => {
      recount = null;
      htmx.trigger(document.body, "readers-changed");
    }, RECOUNT_AT_MOST_EVERY_MS);
  },
};

let socket = null;
let pause = FIRST_PAUSE_MS;

function listen() {
  const address = new URL(place.dataset.blockLive, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  socket = new WebSocket(address);
  socket.addEventListener("open", () => {
    pause = FIRST_PAUSE_MS;
    wasDirty = false;
    say();
  });
  socket.addEventListener("message", (event) => {
    const frame = JSON.parse(event.data);
    frames[frame.kind]?.(frame);
  });
  socket.addEventListener("close", (event) => {
    // Nobody knows who is here while nobody is heard.
    place.replaceChildren();
    if (REFUSED.includes(event.code)) return;
    setTimeout(listen, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  });
}

// ---- what the page says -------------------------------------------------------------------------------------------------------
let wasDirty = false;

function say() {
  const dirty = isDirty();
  if (socket?.readyState === WebSocket.OPEN && (dirty || wasDirty)) socket.send(dirty ? "editing" : "idle");
  wasDirty = dirty;
}

function sayNews() {
  if (isDirty() !== wasDirty) say();
}

// ---- swaps --------------------------------------------------------------------------------------------------------------------
// A section stays as it was opened or closed, a menu that is open stays so.
function keepOpen(old, fresh) {
  if (old instanceof HTMLDetailsElement && fresh instanceof HTMLDetailsElement) fresh.open = old.open;
  return true;
}

// A difference that somebody asked for is brought into view, whichever pane is in front.
function showDifference({ target }) {
  if (target.id !== "block-difference") return;
  const tabs = document.querySelector(".pane-tabs");
  if (tabs && getComputedStyle(tabs).display !== "none") document.getElementById("tab-3").click();
  target.scrollIntoView({ block: "nearest" });
}

function closeDifference(event) {
  if (event.target.closest?.("[data-difference-close]")) document.getElementById("block-difference").replaceChildren();
}

if (place) {
  Idiomorph.defaults.callbacks.beforeNodeMorphed = keepOpen;
  // Undo and redo are forms of their own; those of htmx have been answered for by now.
  addEventListener("submit", (event) => (isLeaving ||= !event.defaultPrevented));
  document.addEventListener("input", sayNews);
  document.addEventListener("change", sayNews);
  document.body.addEventListener("block-said", (event) => notify("ok", event.detail.words, ""));
  document.body.addEventListener("htmx:load", showDifference);
  document.addEventListener("click", closeDifference);
  setInterval(say, SAY_EVERY_MS);
  const note = JSON.parse(sessionStorage.getItem(LOADED) ?? "null");
  sessionStorage.removeItem(LOADED);
  if (note?.at === location.pathname) {
    notify("ok", `Loaded v${note.version}`, `Saved by ${note.by} while this page was open.`);
    const field = note.id ? document.getElementById(note.id) : null;
    field?.focus({ preventScroll: true });
    if (Number.isInteger(note.selectionStart)) field?.setSelectionRange(note.selectionStart, note.selectionStart);
  }
  // After the rest of the page, which may set fields.
  if (window.htmx) listen();
  else addEventListener("load", listen);
}
