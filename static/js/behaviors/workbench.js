// The workbench as a whole: swaps that keep what a person does, panes, keys.
import "./link.js";
import "./swaps.js";
import "./timers.js";

const bench = document.getElementById("bench");

// ---- swaps ------------------------------------------------------------------------------------------------------------------
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
