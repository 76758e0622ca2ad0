// The rows of a run's trace: a row lights up the message that it stands for, j and k go through the rows, and what is looked at
// stays so while the server draws the rows anew.
import { notify } from "./notices.js";

const page = document.getElementById("bench");
const LOOK_AFTER_MS = 140;

let lit = null;
let timer = 0;

const rows = () => [...document.querySelectorAll(".trace-row")];
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
let wanted = current()?.dataset.key;
document.addEventListener("htmx:oobAfterSwap", (event) => {
  if (event.detail.target?.id !== "trace-rows") return;
  const row = document.getElementById(`line-${wanted}`) ?? rows()[0];
  for (const each of rows()) each.removeAttribute("aria-current");
  row?.setAttribute("aria-current", "true");
  const isOpen = row?.hasAttribute("data-open") ?? false;
  if (row && wasOpen && !isOpen) htmx.ajax("GET", row.getAttribute("hx-get"), { target: "#trace", swap: "morph:outerHTML", source: page });
  wasOpen = isOpen;
});
document.addEventListener("htmx:afterSettle", () => {
  wanted = current()?.dataset.key;
  wasOpen = current()?.hasAttribute("data-open") ?? false;
});

// Beside the rows: the messages of the run, or the request of the step that is looked at.
const side = document.querySelector("[data-side]");
let shownStep = null;

function showContext() {
  const detail = document.getElementById("trace-detail");
  const step = detail?.dataset.step;
  const link = document.getElementById("context-page");
  link.hidden = !step;
  if (!step) return;
  link.href = detail.dataset.context;
  if (side.dataset.side !== "context" || step === shownStep) return;
  shownStep = step;
  htmx.ajax("GET", `${detail.dataset.context}parts/`, { target: "#step-context", swap: "outerHTML", source: side });
}

document.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-show-side]");
  if (!chosen || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  side.dataset.side = chosen.dataset.showSide;
  const isContext = side.dataset.side === "context";
  side.querySelector(".pane-title").textContent = isContext ? "Context" : "Messages";
  side.querySelector("[data-side-of]").textContent = isContext ? "of the step" : "of this run";
  for (const each of side.querySelectorAll("[data-show-side]")) each.removeAttribute("aria-current");
  chosen.setAttribute("aria-current", "true");
  tellSide();
  showContext();
});
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.target?.id === "trace") showContext();
});
// The address of a row says nothing of what stands beside.
document.addEventListener("htmx:pushedIntoHistory", tellSide);

function tellSide() {
  const address = new URL(location.href);
  if (side.dataset.side === "context") address.searchParams.set("side", "context");
  else address.searchParams.delete("side");
  history.replaceState(history.state, "", address);
}

// Asked again, a run begins anew: it has a page of its own.
document.addEventListener("click", async (event) => {
  const again = event.target.closest("[data-again]");
  if (!again) return;
  again.disabled = true;
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const headers = { Accept: "application/json", "X-CSRFToken": token };
  const answer = await fetch(again.dataset.again, { method: "POST", headers }).catch(() => null);
  const data = (await answer?.json().catch(() => null)) ?? {};
  if (answer?.ok && data.run_id) location.href = page.dataset.runsAt + data.run_id + "/";
  else notify("bad", "Not sent again.", data.message ?? "The server does not answer.");
  again.disabled = false;
});

light(current(), true);
