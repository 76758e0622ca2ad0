// The transcript: the agent's words as safe markdown while they stream, times of this place, sentences for screen readers.
import MarkdownIt from "../../vendor/markdown-it.js";
import DOMPurify from "../../vendor/dompurify.js";

const log = document.getElementById("log");

// ---- markdown ---------------------------------------------------------------------------------------------------------------
const markdown = MarkdownIt({ html: false, linkify: true, breaks: true });
// An image would be fetched from elsewhere: its address is shown as a link.
markdown.renderer.rules.image = (tokens, index) => {
  const address = markdown.utils.escapeHtml(tokens[index].attrGet("src") ?? "");
  return `<a href="${address}">${markdown.utils.escapeHtml(tokens[index].content) || address}</a>`;
};
const CLEAN = {
  ALLOWED_TAGS: ["p", "br", "hr", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td"],
  ALLOWED_ATTR: ["href", "start", "target", "rel", "class"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:|#)/i,
};
DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A" || !node.hasAttribute("href")) return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

// The only class that comes through: what language a block says it is in.
const LANGUAGE = /^language-([\w+#.-]{1,30})$/;
DOMPurify.addHook("uponSanitizeAttribute", (node, attribute) => {
  if (attribute.attrName === "class" && !(node.tagName === "CODE" && LANGUAGE.test(attribute.attrValue))) attribute.keepAttr = false;
});

// Safe HTML of the agent's words; above each block of code its language, and a button that copies it.
function htmlOf(text) {
  const words = document.createElement("div");
  words.innerHTML = DOMPurify.sanitize(markdown.render(text), CLEAN);
  for (const pre of words.querySelectorAll("pre")) {
    const block = document.getElementById("code-block").content.firstElementChild.cloneNode(true);
    block.querySelector("[data-language]").textContent = pre.querySelector("code")?.className.match(LANGUAGE)?.[1] ?? "";
    pre.replaceWith(block);
    block.append(pre);
    pre.tabIndex = 0;
  }
  return words.innerHTML;
}

const shown = new WeakMap();

function draw(raw) {
  const place = raw.nextElementSibling;
  const text = raw.textContent;
  if (!place?.matches("[data-drawn]") || shown.get(place) === text) return;
  shown.set(place, text);
  const isLive = raw.closest(".msg")?.hasAttribute("data-live");
  const html = htmlOf(text);
  // Only what differs is touched, so that nothing flickers and a selection stays.
  if (window.Idiomorph) Idiomorph.morph(place, html, { morphStyle: "innerHTML" });
  else place.innerHTML = html;
  showCaret(place, isLive);
}

function showCaret(place, isLive) {
  place.querySelector(".caret")?.remove();
  if (!isLive) return;
  const caret = document.createElement("span");
  caret.className = "caret";
  caret.setAttribute("aria-hidden", "true");
  let last = place;
  while (last.lastElementChild && last.lastElementChild.matches(".code-block, p, ul, ol, li, blockquote, h1, h2, h3, h4, pre, code")) last = last.lastElementChild;
  last.append(caret);
}

function drawAll() {
  for (const raw of log.querySelectorAll("[data-raw]")) {
    draw(raw);
    const isLive = raw.closest(".msg")?.hasAttribute("data-live");
    if (!isLive) raw.nextElementSibling?.querySelector(".caret")?.remove();
  }
  for (const time of log.querySelectorAll("time[data-clock]:not([title])")) {
    const moment = new Date(time.dateTime);
    time.title = moment.toISOString();
    time.textContent = moment.toLocaleTimeString("en-GB");
  }
}

// ---- spoken -------------------------------------------------------------------------------------------------------------------
const region = document.getElementById("spoken");
const said = new Map();

function speak() {
  for (const message of log.querySelectorAll(".msg[data-live]")) {
    const text = message.querySelector("[data-raw]").textContent;
    const from = said.get(message.id) ?? 0;
    const ends = [...text.slice(from).matchAll(/[.!?](?=\s)/g)];
    if (!ends.length) continue;
    const end = from + ends.at(-1).index + 1;
    region.textContent = text.slice(from, end).trim();
    said.set(message.id, end);
  }
  for (const [id, from] of said) {
    const message = document.getElementById(id);
    if (message?.hasAttribute("data-live")) continue;
    const rest = message?.querySelector("[data-raw]")?.textContent.slice(from).trim();
    if (rest) region.textContent = rest;
    said.delete(id);
  }
}

// To draw a long answer anew for each of its words would take half a core, and nobody reads that fast.
const PAUSE_MS = 80;
let isDue = false;
let drawnAt = -PAUSE_MS;
new MutationObserver(() => {
  if (isDue) return;
  isDue = true;
  setTimeout(() => requestAnimationFrame(() => {
    isDue = false;
    drawnAt = performance.now();
    drawAll();
    if (region) speak();
  }), drawnAt + PAUSE_MS - performance.now());
}).observe(log, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ["data-live"] });

log.addEventListener("window-put", drawAll);
drawAll();
