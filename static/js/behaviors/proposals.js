// A proposed memory edit, by itself or in the inbox: `a` approves, `e` opens the editor, `r` the reason for a rejection.
// `g` and then another key goes somewhere (keys.js): that must not decide anything.
const AFTER_G_MS = 1200;
// A key that was meant for the proposal before must not decide the one that has just taken its place.
const AFTER_CHANGE_MS = 600;
let goesSince = -AFTER_G_MS;
let shown = card()?.dataset.proposal;
let changedAt = -AFTER_CHANGE_MS;

function card() {
  return document.getElementById("proposal");
}

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) sendField(event);
    return;
  }
  if (event.key === "Escape") return close(event.target.closest?.("#proposal details[open]"));
  if (event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]")) return;
  if (event.key === "g") goesSince = event.timeStamp;
  else if (event.timeStamp - goesSince > AFTER_G_MS && event.timeStamp - changedAt > AFTER_CHANGE_MS) press(event);
});

function press(event) {
  const target = card()?.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!target || target.disabled) return;
  event.preventDefault();
  if (target.localName === "summary") open(target.parentElement);
  else target.click();
}

function sendField(event) {
  const form = event.target.closest?.("#proposal details form");
  if (!form) return;
  event.preventDefault();
  form.querySelector("button[type=submit]").click();
}

function open(details) {
  details.open = true;
  details.querySelector("textarea").focus();
}

function close(details) {
  if (!details) return;
  details.open = false;
  details.querySelector("summary").focus();
}

// One of both at a time, and its field has the focus when it appears.
document.addEventListener(
  "toggle",
  (event) => {
    if (!event.target.matches?.("#proposal details[open]")) return;
    for (const other of card().querySelectorAll("details[open]")) if (other !== event.target) other.open = false;
    event.target.querySelector("textarea").focus();
  },
  true,
);

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("#proposal [data-close]");
  if (button) close(button.closest("details"));
});

// Sent once: a second click would only be told that it was decided.
document.addEventListener("submit", (event) => {
  const form = event.target.closest?.("#proposal form");
  if (!form) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "true";
});

function settle() {
  changedAt = performance.now();
  const place = card();
  place.setAttribute("data-settling", "");
  setTimeout(() => place.removeAttribute("data-settling"), AFTER_CHANGE_MS);
}

function onChange() {
  const now = card()?.dataset.proposal;
  if (now === shown) return;
  if (shown && now) settle();
  shown = now;
}
document.addEventListener("htmx:afterSettle", onChange);

// The same proposal drawn again would take away what is being written; decided by somebody else, it must say so.
const callbacks = window.Idiomorph?.defaults.callbacks;
const before = callbacks?.beforeNodeMorphed;
if (callbacks)
  callbacks.beforeNodeMorphed = (old, fresh) => {
    const isSame =
      old.id === "proposal" &&
      old.dataset.proposal === fresh.dataset?.proposal &&
      old.dataset.state === fresh.dataset.state &&
      (old.dataset.shows === fresh.dataset.shows || old.querySelector("details[open]"));
    return isSame ? false : before?.(old, fresh);
  };
