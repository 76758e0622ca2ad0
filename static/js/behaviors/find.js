// The search in a transcript: what was said with these words, one match after the other, further up fetched as needed. `f` opens it.
import { showView } from "./views.js";
import { goTo } from "./windows.js";

const bar = document.getElementById("find");
const field = document.getElementById("find-text");
const count = document.getElementById("find-count");
const log = document.getElementById("log");
const AFTER_MS = 250;
let ids = [];
let total = 0;
let at = -1;
let timer = 0;
let asked = 0;

const words = () => field.value.trim();

function open() {
  bar.hidden = false;
  showView("chat");
  field.focus();
  field.select();
}

function close() {
  bar.hidden = true;
  field.value = "";
  ask();
  document.getElementById("find-open").focus();
}

async function ask() {
  const number = ++asked;
  const text = words();
  const address = new URL(location.href);
  if (text) address.searchParams.set("find", text);
  else address.searchParams.delete("find");
  history.replaceState(history.state, "", address);
  let found = { ids: [], total: 0 };
  if (text) {
    try {
      const answer = await fetch(`${bar.dataset.source}?find=${encodeURIComponent(text)}`);
      if (!answer.ok) throw new Error();
      found = await answer.json();
    } catch {
      if (number === asked) count.textContent = "no answer";
      return;
    }
  }
  // A later question has overtaken this one.
  if (number !== asked) return;
  ({ ids, total } = found);
  at = ids.length;
  paint();
  if (ids.length) go(-1);
  else count.textContent = text ? "no match" : "";
}

async function go(by) {
  if (!ids.length) return;
  at = (at + by + ids.length) % ids.length;
  const more = total - ids.length;
  count.textContent = `${at + 1 + more} of ${total}`;
  const id = ids[at];
  await goTo(id);
  paint();
}

// ---- highlights: nothing of the page is changed, so that nothing that is drawn anew takes them away --------------------------------
function textsOf(element) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const texts = [];
  while (walker.nextNode()) texts.push(walker.currentNode);
  return texts;
}

function paint() {
  if (!window.Highlight || !CSS.highlights) return;
  const text = words().toLowerCase();
  const all = new Highlight();
  const current = new Highlight();
  for (const body of text ? log.querySelectorAll(".msg-body") : []) {
    // Source and drawing say the same; one of them is seen.
    const seen = body.querySelector("[data-drawn]:not(:empty)") ?? body;
    const isCurrent = body.parentElement.id === ids[at];
    for (const node of textsOf(seen)) {
      const line = node.data.toLowerCase();
      for (let from = line.indexOf(text); from >= 0; from = line.indexOf(text, from + text.length)) {
        const range = new Range();
        range.setStart(node, from);
        range.setEnd(node, Math.min(from + text.length, node.length));
        (isCurrent ? current : all).add(range);
      }
    }
  }
  CSS.highlights.set("found", all);
  CSS.highlights.set("found-now", current);
}

let frame = 0;
new MutationObserver(() => {
  if (bar.hidden) return;
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    paint();
  });
}).observe(log, { childList: true, subtree: true, characterData: true });

// ---- keys -----------------------------------------------------------------------------------------------------------------------
document.getElementById("find-open").addEventListener("click", () => (bar.hidden ? open() : close()));
field.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(ask, AFTER_MS);
});
bar.addEventListener("submit", (event) => {
  event.preventDefault();
  go(-1);
});
bar.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
  else if (event.key === "ArrowUp" || (event.key === "Enter" && !event.shiftKey && event.target === field)) go(-1);
  else if (event.key === "ArrowDown" || (event.key === "Enter" && event.shiftKey && event.target === field)) go(1);
  else return;
  // Else Escape would stop the run, too.
  event.preventDefault();
  event.stopPropagation();
});
for (const button of bar.querySelectorAll("[data-find-by]")) button.addEventListener("click", () => go(Number(button.dataset.findBy)));
bar.querySelector("[data-find-close]").addEventListener("click", close);
document.addEventListener("keydown", (event) => {
  if (event.key !== "f" || event.metaKey || event.ctrlKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable], dialog[open]")) return;
  event.preventDefault();
  open();
});

if (words()) {
  bar.hidden = false;
  ask();
}
