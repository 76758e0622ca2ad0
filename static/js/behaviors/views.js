// The views of a conversation, chat, debug and raw: the address names the one that is seen; it is filled when it is looked at and follows the run.
const bench = document.getElementById("bench");
const tabs = document.getElementById("views");
const chat = document.getElementById("scroll");
const places = new Map([...document.querySelectorAll("[data-view-of]")].map((place) => [place.dataset.viewOf, place]));
const REFRESH_MS = 400;

export const viewOf = () => bench.dataset.view;

export function showView(name, { isHistory = false } = {}) {
  if (name === viewOf()) return;
  bench.dataset.view = name;
  chat.hidden = name !== "chat";
  for (const [each, place] of places) place.hidden = each !== name;
  for (const tab of tabs.querySelectorAll("a")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  if (!isHistory) history.pushState(null, "", tabs.querySelector(`[data-view="${name}"]`).href);
  refresh();
}

const named = () => new URLSearchParams(location.search).get("view");
const known = (name) => (places.has(name) ? name : "chat");

tabs.addEventListener("click", (event) => {
  const tab = event.target.closest("a[data-view]");
  if (!tab || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  showView(tab.dataset.view);
});
addEventListener("popstate", () => showView(known(named()), { isHistory: true }));

// ---- filling ------------------------------------------------------------------------------------------------------------------
async function ask(address, isFragment) {
  const answer = await fetch(address, { headers: isFragment ? { "HX-Request": "true" } : {} });
  if (!answer.ok) throw new Error(`The server answered ${answer.status}.`);
  return isFragment ? answer.text() : answer.json();
}

async function refresh() {
  const name = viewOf();
  const place = places.get(name);
  if (!place) return;
  place.setAttribute("aria-busy", "true");
  try {
    if (name === "debug") {
      const html = await ask(place.dataset.source, true);
      if (window.Idiomorph && place.firstElementChild) Idiomorph.morph(place.firstElementChild, html, { morphStyle: "outerHTML" });
      else place.innerHTML = html;
      htmx.process(place);
    } else drawRaw(place, await ask(place.dataset.source, false));
  } catch (error) {
    const { notify } = await import("./notices.js");
    notify("bad", "This view could not be read.", error.message);
  }
  place.removeAttribute("aria-busy");
}

// Texts only: what a message holds never becomes an element.
function drawRaw(place, { messages, before }) {
  const list = place.querySelector(".raw-list");
  list.replaceChildren(...(before ? [olderRow(place, before)] : []), ...messages.map(rawRow));
}

function rawRow(message) {
  const row = document.getElementById("raw-row").content.firstElementChild.cloneNode(true);
  const text = JSON.stringify(message, null, 2);
  row.querySelector(".chip").textContent = message.message_type;
  row.querySelector("pre").textContent = text;
  row.querySelector("button").dataset.copy = text;
  return row;
}

function olderRow(place, before) {
  const row = document.getElementById("raw-older").content.firstElementChild.cloneNode(true);
  row.querySelector("button").addEventListener("click", async () => {
    row.setAttribute("aria-busy", "true");
    try {
      const { messages, before: next } = await ask(`${place.dataset.source}?before=${before}`, false);
      row.replaceWith(...(next ? [olderRow(place, next)] : []), ...messages.map(rawRow));
    } catch {
      row.removeAttribute("aria-busy");
    }
  });
  return row;
}

// ---- following ----------------------------------------------------------------------------------------------------------------
// The run line changes with every step that is stored. Who has scrolled away reads on undisturbed.
let timer = 0;
new MutationObserver(() => {
  const place = places.get(viewOf());
  if (!place || place.scrollTop < -40) return;
  clearTimeout(timer);
  timer = setTimeout(refresh, REFRESH_MS);
}).observe(document.getElementById("runline"), { attributes: true, attributeFilter: ["data-run", "data-phase"] });

if (viewOf() === "raw") refresh();
