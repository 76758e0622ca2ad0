// The transcript in windows: older and newer ones are fetched as they come near, far ones are taken out, and an address leads to its message.
import { showView } from "./views.js";

const scroller = document.getElementById("scroll");
const newest = document.querySelector(".window[data-newest]");
const runs = document.getElementById("runs");
const toNewest = document.querySelector("[data-to-newest]");
const address = scroller?.dataset.transcript;
//: Windows besides the newest one, and runs in that.
const MOST_WINDOWS = 5;
const MOST_RUNS = 60;
const NEAR_PX = 900;
let isLoading = false;

const others = () => [...scroller.querySelectorAll(".window:not([data-newest])")];
const link = (window, way) => window.querySelector(`:scope > .older > [data-window="${way}"]`);

// What is seen stays where it is, whatever comes or goes above and below.
function keepStill(change) {
  const middle = scroller.getBoundingClientRect();
  const anchor = [...scroller.querySelectorAll(".run")].find((run) => run.getBoundingClientRect().bottom > middle.top + 40);
  const before = anchor?.getBoundingClientRect().top;
  scroller.classList.add("is-moved");
  change();
  if (anchor?.isConnected) scroller.scrollTop += anchor.getBoundingClientRect().top - before;
  scroller.classList.remove("is-moved");
}

async function fetchWindow(query) {
  const answer = await fetch(`${address}?${query}`, { headers: { "HX-Request": "true" } });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  const html = document.createElement("template");
  html.innerHTML = await answer.text();
  const window = html.content.querySelector(".window");
  // A run that is on the page already, since the window reaches it, is not drawn twice.
  let hasMet = false;
  for (const run of window.querySelectorAll(".run")) {
    if (!document.getElementById(run.id)) continue;
    run.remove();
    hasMet = true;
  }
  if (hasMet) link(window, "newer")?.parentElement.remove();
  return { window, hasMet };
}

function put(window, place, where) {
  place[where](window);
  htmx.process(window);
  // Drawn at once (transcript.js): what is measured next has its final height.
  window.dispatchEvent(new Event("window-put", { bubbles: true }));
}

function wayTo(window, way) {
  if (link(window, way)) return;
  const edge = [...window.querySelectorAll(".run")].at(way === "older" ? 0 : -1);
  if (!edge) return;
  const row = document.getElementById(`way-${way}`).content.firstElementChild.cloneNode(true);
  row.firstElementChild.href = `${address}?${way === "older" ? "before" : "after"}=${edge.id}`;
  window[way === "older" ? "prepend" : "append"](row);
}

async function load(button) {
  if (isLoading) return;
  isLoading = true;
  const way = button.dataset.window;
  const from = button.closest(".window");
  button.parentElement.setAttribute("aria-busy", "true");
  try {
    const { window, hasMet } = await fetchWindow(new URL(button.href).searchParams);
    if (!button.isConnected) return;
    keepStill(() => {
      button.parentElement.remove();
      if (way === "older") {
        link(window, "newer")?.parentElement.remove();
        put(window, from, "before");
      } else {
        link(window, "older")?.parentElement.remove();
        if (window.querySelector(".run")) put(window, from, "after");
        if (hasMet) link(newest, "older")?.parentElement.remove();
      }
      trim(way);
      settle();
    });
  } catch {
    button.parentElement.removeAttribute("aria-busy");
    button.dataset.failed = "";
  } finally {
    isLoading = false;
  }
  requestAnimationFrame(look);
}

function trim(way) {
  const all = others();
  for (const far of all.slice(way === "older" ? MOST_WINDOWS : 0, way === "older" ? undefined : Math.max(0, all.length - MOST_WINDOWS))) far.remove();
  const rest = others();
  if (!rest.length) return;
  if (way === "newer" && all.length > rest.length) wayTo(rest[0], "older");
  if (way === "older" && all.length > rest.length) wayTo(rest.at(-1), "newer");
}

// While something is missing between the newest window and the others, that one is not seen: who scrolls down meets nothing out of order.
function isTorn() {
  const last = others().at(-1);
  return Boolean(last && link(last, "newer"));
}

function settle() {
  newest.hidden = isTorn();
  toNewest.hidden = scroller.scrollTop > -160 && !newest.hidden;
}

function mend() {
  const far = others();
  for (const each of far) each.remove();
  if (far.length) wayTo(newest, "older");
  settle();
}

function look() {
  if (scroller.hidden || isLoading) return;
  const frame = scroller.getBoundingClientRect();
  const near = [...scroller.querySelectorAll("[data-window]")].find((button) => {
    if ("failed" in button.dataset || button.closest("[hidden]")) return false;
    const box = button.getBoundingClientRect();
    return box.bottom > frame.top - NEAR_PX && box.top < frame.bottom + NEAR_PX;
  });
  if (near) load(near);
}

// ---- to the message of an address ------------------------------------------------------------------------------------------------
function mark(element) {
  for (const each of document.querySelectorAll("[data-found]")) each.removeAttribute("data-found");
  element.setAttribute("data-found", "");
  element.scrollIntoView({ block: "center" });
}

// Leads to an element of the transcript, fetching what stands around it; false when it is not there.
export async function goTo(id) {
  let element = document.getElementById(id);
  if (element && newest.hidden && newest.contains(element)) mend();
  if (!element || !scroller.contains(element)) {
    if (!address || !/(run|step|message)-[0-9a-f]{8}-/.test(id)) return false;
    isLoading = true;
    try {
      mend();
      const { window } = await fetchWindow(new URLSearchParams({ around: id }));
      if (window.querySelector(".run, .step")) {
        link(newest, "older")?.parentElement.remove();
        put(window, newest, "before");
        settle();
      }
      element = document.getElementById(id) ?? document.getElementById(window.dataset.around);
    } catch {
      return false;
    } finally {
      isLoading = false;
    }
  }
  if (element) {
    showView("chat");
    mark(element);
  }
  requestAnimationFrame(look);
  return Boolean(element);
}

async function follow() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (!id || (await goTo(id)) || !/^(run|step|message)-/.test(id)) return;
  const { notify } = await import("./notices.js");
  notify("warn", "This conversation has no such message.", "It may have been deleted with its run, or is in another conversation.");
}

if (scroller) {
  // The scroller is reversed, 0 is the newest line: the browser holds on to the end, or to what is read further up.
  scroller.addEventListener(
    "scroll",
    () => {
      settle();
      look();
    },
    { passive: true },
  );
  scroller.addEventListener("click", (event) => {
    const button = event.target.closest("[data-window]");
    if (!button || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    delete button.dataset.failed;
    load(button);
  });
  toNewest.addEventListener("click", () => {
    if (isTorn()) mend();
    scroller.scrollTop = 0;
  });
  // A page that stays open for days does not grow for ever.
  new MutationObserver(() => {
    if (runs.childElementCount <= MOST_RUNS || scroller.scrollTop < -40) return;
    mend();
    while (runs.childElementCount > MOST_RUNS / 2) runs.firstElementChild.remove();
    for (const each of [...newest.children]) if (each !== runs) each.remove();
    wayTo(newest, "older");
  }).observe(runs, { childList: true });
  addEventListener("hashchange", follow);
  follow();
  look();
}
