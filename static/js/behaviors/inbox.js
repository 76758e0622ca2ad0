// The inbox: j and k go through what waits, Enter opens the agent; `a` and `d` are the card's (answers.js).
const wide = matchMedia("(min-width: 900px)");
const isOpen = (row) => row.getAttribute("aria-current") === "true";

// The same request drawn again would take away what is being written.
const callbacks = window.Idiomorph?.defaults.callbacks;
if (callbacks)
  callbacks.beforeNodeMorphed = (old, fresh) =>
    !(old.id === "waiting" && old.dataset.request && old.dataset.request === fresh.dataset?.request);

// Without it a newer request would take the place of the one that is being read.
function keepOpen() {
  const row = document.querySelector('[data-inbox-row][aria-current="true"]');
  if (row && wide.matches) history.replaceState(history.state, "", row.href);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  const rows = [...document.querySelectorAll("[data-inbox-row]")];
  if (!rows.length) return;
  if (event.key === "j" || event.key === "k") {
    const at = rows.findIndex(isOpen);
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))];
    next.scrollIntoView({ block: "nearest" });
    if (!isOpen(next)) next.click();
  } else if (event.key === "Enter" && !event.target.closest("a, button, summary")) {
    document.querySelector("[data-inbox-open]")?.click();
  }
});
document.addEventListener("htmx:afterSettle", keepOpen);
keepOpen();
