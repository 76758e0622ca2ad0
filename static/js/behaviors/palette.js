// The palette (⌘K): the server says what fits, the arrow keys walk through it. And the list of keys, with their switch.
const palette = document.getElementById("palette");
const input = document.getElementById("cmd-input");
const list = document.getElementById("cmd-list");
const keys = document.getElementById("keys");
const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const rows = () => [...list.querySelectorAll('[role="option"]')];
const chosen = () => list.querySelector('[aria-selected="true"]');

function choose(row) {
  chosen()?.setAttribute("aria-selected", "false");
  row?.setAttribute("aria-selected", "true");
  row?.scrollIntoView({ block: "nearest" });
  if (row) input.setAttribute("aria-activedescendant", row.id);
  else input.removeAttribute("aria-activedescendant");
}

function open() {
  if (palette.open) return;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  palette.showModal();
  input.focus();
  input.select();
  input.dispatchEvent(new Event("palette-open"));
}

// Nothing typed before the script stood is lost: the link it came from still opens the page of the same name.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-palette-open]") && !event.ctrlKey && !event.metaKey && window.htmx) {
    event.preventDefault();
    open();
  } else if (event.target.closest("[data-palette-close]") || event.target === palette) palette.close();
  else if (event.target.closest("[data-keys-open]")) keys.showModal();
  else if (event.target.closest("[data-keys-close]") || event.target === keys) keys.close();
  const row = event.target.closest("#cmd-list [role=option]");
  if (!row) return;
  // An address on this very page would not close it.
  if (!event.ctrlKey && !event.metaKey) palette.close();
  if (row.dataset.act === "keys") keys.showModal();
  else if (row.dataset.act === "theme") document.querySelector("[data-theme-toggle]")?.click();
});

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (palette.open) palette.close();
    else open();
  } else if (event.key === "?" && !isTyping(event) && !event.ctrlKey && !event.metaKey && !document.querySelector("dialog[open]")) keys.showModal();
});

input.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const all = rows();
  const at = all.indexOf(chosen());
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (all.length) choose(all[(at + (event.key === "ArrowDown" ? 1 : all.length - (at < 0 ? 0 : 1))) % all.length]);
  } else if (event.key === "Enter") {
    event.preventDefault();
    const row = chosen() ?? all[0];
    if (!row) return;
    if ((event.ctrlKey || event.metaKey) && row.href) window.open(row.href, "_blank", "noopener");
    else row.click();
  }
});

// The first row is the one that Enter opens; the morph keeps a choice that is still there.
list.addEventListener("htmx:afterSettle", () => chosen() ?? choose(rows()[0]));
palette.addEventListener("close", () => list.replaceChildren());

// ---- single-letter keys, on or off ---------------------------------------------------------------------------------------------
const NAME = "ade-single-keys";
const isTyping = (event) => event.target.closest?.("input, textarea, select, [contenteditable]");

function areOff() {
  try {
    return localStorage.getItem(NAME) === "off";
  } catch {
    return false; // storage is off: as they were made
  }
}

// Before every other listener: what is off, or behind an open dialog, reaches none of them. What the browser does itself goes on.
addEventListener(
  "keydown",
  (event) => {
    if (event.key.length !== 1 || event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    if (areOff() || palette.open || keys.open) event.stopImmediatePropagation();
  },
  true,
);

const toggle = keys.querySelector("[data-keys-switch]");
toggle.checked = !areOff();
toggle.addEventListener("change", () => {
  try {
    if (toggle.checked) localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, "off");
  } catch {
    toggle.checked = true;
  }
});
addEventListener("storage", (event) => {
  if (event.key === NAME) toggle.checked = !areOff();
});

if (isMac) for (const key of document.querySelectorAll("[data-mod]")) key.textContent = "⌘";
