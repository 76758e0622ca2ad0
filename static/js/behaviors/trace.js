// The rows of a run's trace: a row lights up the message that it stands for, j and k go through the rows, and what is looked at
// stays so while the server draws the rows anew.
const page = document.getElementById("bench");
const LOOK_AFTER_MS = 140;

let lit = null;
let timer = 0;

const rows = () => [...document.querySelectorAll(".trace-row")];
const keyInAddress = () => new URLSearchParams(location.search).get("at");
const current = () => document.querySelector(".trace-row[aria-current]");

function light(row, isShown) {
  lit?.removeAttribute("data-lit");
  clearTimeout(timer);
  lit = row?.dataset.of ? document.getElementById(row.dataset.of) : null;
  if (!lit) return;
  lit.setAttribute("data-lit", "");
  if (isShown) timer = setTimeout(() => lit?.scrollIntoView({ block: "nearest" }), LOOK_AFTER_MS);
}

document.addEventListener("mouseover", (event) => {
  const row = event.target.closest?.(".trace-row");
  if (row) light(row, true);
});
document.addEventListener("mouseout", (event) => {
  if (event.target.closest?.(".trace-row") && !event.relatedTarget?.closest?.(".trace-row")) light(current(), false);
});
document.addEventListener("focusin", (event) => {
  const row = event.target.closest?.(".trace-row");
  if (row) light(row, true);
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key !== "j" && event.key !== "k") return;
  const all = rows();
  const at = all.indexOf(document.activeElement?.closest(".trace-row") ?? current());
  const next = all[Math.max(0, Math.min(all.length - 1, at + (event.key === "j" ? 1 : -1)))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
});

// The server draws the rows without knowing which one is looked at here; one that has ended meanwhile has more to tell.
let wasOpen = current()?.hasAttribute("data-open") ?? false;
document.addEventListener("htmx:oobAfterSwap", (event) => {
  if (event.detail.target?.id !== "trace-rows") return;
  const wanted = keyInAddress();
  const row = (wanted && document.getElementById(`line-${wanted}`)) || rows()[0];
  for (const each of rows()) each.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
  const isOpen = row?.hasAttribute("data-open") ?? false;
  if (row && wasOpen && !isOpen) htmx.ajax("GET", row.getAttribute("hx-get"), { target: "#trace", swap: "morph:outerHTML", source: page });
  wasOpen = isOpen;
});
document.addEventListener("htmx:afterSettle", () => {
  wasOpen = current()?.hasAttribute("data-open") ?? false;
});

light(current(), true);
