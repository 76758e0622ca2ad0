// The card of calls that wait: sends what was decided, by mouse or by key, and keeps what was written when another one is faster.
import { notify } from "./notices.js";

const place = document.getElementById("waiting");
const say = document.getElementById("say");
const keyword = { a: "approve", d: "deny" };
// `g` and then `a` goes to the agents (keys.js): that must not approve anything.
const AFTER_G_MS = 1200;
// A key that was meant for the request before must not decide the one that has just taken its place.
const AFTER_CHANGE_MS = 600;
let typed = "";
let hadFocus = false;
let request = place?.dataset.request;
let isAnswered = false;
let goesSince = -AFTER_G_MS;
let settling = 0;
let sent = { content: "", otid: "" };

if (place) start();

function start() {
  place.addEventListener("submit", (event) => {
    event.preventDefault();
    send(event.target, event.submitter);
  });
  place.addEventListener("input", () => {
    typed = [...place.querySelectorAll("[data-keep]")].map((field) => field.value.trim()).filter(Boolean).join("\n");
  });
  document.addEventListener("focusin", (event) => (hadFocus = place.contains(event.target)));
  place.addEventListener("keydown", onFieldKey);
  document.addEventListener("keydown", onKey);
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    if (target !== place) return;
    const fresh = fragment.querySelector?.("#waiting") ?? fragment;
    // The same request drawn again would take away what is being written.
    if (place.dataset.request && fresh.dataset?.request === place.dataset.request) event.detail.shouldSwap = false;
  });
  new MutationObserver(onRequest).observe(place, { attributes: true, attributeFilter: ["data-request"] });
}

async function send(form, button) {
  const isCancel = button?.hasAttribute("data-cancel");
  const body = new FormData(form, button);
  const content = JSON.stringify([...body]);
  // The same answer sent again after a lost connection is one answer.
  if (sent.content !== content) sent = { content, otid: crypto.randomUUID?.() ?? "" };
  body.append("otid", sent.otid);
  const buttons = form.querySelectorAll("button");
  for (const each of buttons) each.disabled = true;
  isAnswered = true;
  const answer = await post(isCancel ? button.formAction : form.action, body).catch(() => null);
  if (answer?.ok) return;
  isAnswered = false;
  for (const each of buttons) each.disabled = false;
  if (answer === null) notify("bad", "The server does not answer.", "What you decided is kept. Send it when the server runs.");
  else if (answer.status === 409) {
    notify("warn", "Not used.", answer.data.message ?? "Somebody else was faster.");
    rescue();
  } else notify("bad", "Not sent.", answer.data.message ?? `The server answered ${answer.status}.`);
}

async function post(address, body) {
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": token } });
  const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
  return { status: answer.status, ok: answer.ok && !answer.redirected, data: isJson ? await answer.json() : {} };
}

function onRequest() {
  if (place.dataset.request === request) return;
  const wasAnswered = isAnswered;
  const hadRequest = request !== undefined;
  if (hadRequest && place.dataset.request) settle();
  request = place.dataset.request;
  isAnswered = false;
  if (hadRequest && !wasAnswered && typed) {
    rescue();
    notify("warn", say ? "Answered by somebody else." : "Another request is open now.", say ? "What you wrote is in the message field." : `You had written: ${typed}`);
  }
  typed = "";
  if (request) document.getElementById("spoken").textContent = place.querySelector(".approval-head h3").textContent;
  else if (hadFocus) say?.focus();
}

function settle() {
  clearTimeout(settling);
  place.setAttribute("data-settling", "");
  settling = setTimeout(() => place.removeAttribute("data-settling"), AFTER_CHANGE_MS);
}

// What was written for a request that is gone may still be said.
function rescue() {
  if (!typed || !say || say.value.includes(typed)) return;
  say.value = say.value ? `${typed}\n${say.value}` : typed;
  say.dispatchEvent(new Event("input", { bubbles: true }));
}

function onFieldKey(event) {
  const box = event.target.closest(".deny");
  if (event.key === "Escape" && box?.open) {
    event.preventDefault();
    box.open = false;
    box.querySelector("summary").focus();
  } else if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && event.target.matches("textarea")) {
    event.preventDefault();
    (box ?? place).querySelector("button[type=submit]").click();
  }
}

function onKey(event) {
  if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
  if (event.target.closest?.("input:not([type=radio]), textarea, select, [contenteditable], dialog[open]")) return;
  if (event.key === "g") goesSince = event.timeStamp;
  else if (event.key in keyword && event.timeStamp - goesSince > AFTER_G_MS && place.dataset.request) {
    if (!place.hasAttribute("data-settling")) decide(event);
  }
}

function decide(event) {
  const button = place.querySelector(`[data-key="${event.key}"]`);
  if (button && !button.disabled) {
    event.preventDefault();
    if (event.key === "a") return button.click();
    button.parentElement.open = true;
    return place.querySelector("#deny-reason").focus();
  }
  const calls = [...place.querySelectorAll("[data-call]:has([name^=verdict-])")];
  const call = calls.find((each) => each.contains(document.activeElement)) ?? calls.find(isOpen);
  if (!call) return;
  event.preventDefault();
  call.querySelector(`[value="${keyword[event.key]}"]`).checked = true;
  if (event.key === "d") call.querySelector("[name^=reason-]").focus();
  else (calls.find(isOpen)?.querySelector("input") ?? place.querySelector(".approval-foot .btn-primary")).focus();
}

function isOpen(call) {
  return !call.querySelector("[name^=verdict-]:checked");
}

// The field for the reason has the focus when it appears.
place?.addEventListener(
  "toggle",
  (event) => {
    if (event.target.matches(".deny[open]")) event.target.querySelector("textarea").focus();
  },
  true,
);
