// The composer: sends, queues while a run goes on, stops it. What was typed survives errors, lost sockets and a reload.
import { startImages } from "./images.js";
import { notify } from "./notices.js";

const form = document.getElementById("compose");
if (form) start();

function start() {
  const say = document.getElementById("say");
  const role = document.getElementById("role");
  const places = document.getElementById("queue");
  const { conversation } = document.getElementById("bench").dataset;
  const draftKey = `ade-draft-${conversation}`;
  const queueKey = `ade-queue-${conversation}`;
  let queue = JSON.parse(read(queueKey) ?? "[]");
  let isSending = false;
  // The run that an answer named, until the page has seen it begin.
  let awaited = null;

  const line = () => document.getElementById("runline");
  const isBusy = () => line().hasAttribute("data-busy") || awaited !== null;
  // While calls wait the conversation takes nothing but their answer.
  const waiting = document.getElementById("waiting");
  const isWaiting = () => waiting.hasAttribute("data-request");
  const isHeld = () => isBusy() || isWaiting();
  const images = startImages(form, () => {});

  function grow() {
    say.rows = 1;
    const most = Math.max(3, Math.floor(innerHeight / 60));
    while (say.rows < most && say.scrollHeight > say.clientHeight + 1) say.rows += 1;
  }

  function keep() {
    write(draftKey, say.value);
    // Images are too large for the storage; how many there were is told after a reload.
    const kept = queue.map(({ images: files, ...message }) => ({ ...message, lost: files?.length ?? message.lost ?? 0 }));
    write(queueKey, queue.length ? JSON.stringify(kept) : "");
  }

  function show() {
    say.placeholder = isBusy() ? say.dataset.busy : isWaiting() ? say.dataset.waiting : say.dataset.idle;
    form.toggleAttribute("data-busy", isBusy());
    form.toggleAttribute("data-held", isHeld());
    places.replaceChildren(
      ...queue.map((message) => {
        const row = document.getElementById("queue-row").content.firstElementChild.cloneNode(true);
        const count = message.images?.length ?? 0;
        const more = count ? ` (${count} ${count === 1 ? "image" : "images"})` : "";
        row.querySelector(".clip").textContent = `Queued: ${message.text}${more}`;
        const remove = row.querySelector("button");
        remove.addEventListener("click", () => {
          queue = queue.filter((each) => each !== message);
          keep();
          show();
          say.focus();
        });
        return row;
      }),
    );
  }

  async function post(address, fields) {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) {
      if (Array.isArray(value)) for (const file of value) body.append(name, file, file.name);
      else body.append(name, value);
    }
    const token = document.querySelector('meta[name="csrf-token"]').content;
    const answer = await fetch(address, { method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": token } });
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    return { status: answer.status, ok: answer.ok && !answer.redirected, data: isJson ? await answer.json() : {} };
  }

  async function send(message) {
    isSending = true;
    let answer = null;
    try {
      answer = await post(form.action, message);
    } catch {
      giveBack(message);
      notify("bad", "The server does not answer.", "What you typed is kept. Send it when the server runs.");
    }
    isSending = false;
    if (answer?.ok) expect(answer.data.run_id);
    else if (answer?.status === 409) {
      queue.unshift(message);
      if (!isHeld()) notify("warn", "Not sent yet.", answer.data.message ?? "Something else goes on.");
    } else if (answer) {
      giveBack(message);
      notify("bad", "Not sent.", answer.data.message ?? `The server answered ${answer.status}.`);
    }
    keep();
    show();
  }

  function expect(run) {
    awaited = document.getElementById(run) ? null : run;
    // Without a websocket nobody says when it ends; the next attempt finds out.
    setTimeout(() => {
      if (awaited === run) awaited = null;
      show();
      sendNext();
    }, 5000);
  }

  function giveBack(message) {
    say.value = say.value && message.text ? `${message.text}\n${say.value}` : message.text || say.value;
    images.give(message.images ?? []);
    grow();
  }

  function submit() {
    const text = say.value.trim();
    if (!text && !images.count) return say.focus();
    // The id makes a repeat of this very message harmless.
    const message = { text, role: role.value, otid: crypto.randomUUID?.() ?? "", images: images.take() };
    say.value = "";
    if (isHeld() || isSending || queue.length) queue.push(message);
    else send(message);
    grow();
    keep();
    show();
    sendNext();
  }

  function sendNext() {
    if (isHeld() || isSending || !queue.length) return;
    const next = queue.shift();
    show();
    send(next);
  }

  async function stop() {
    const button = document.getElementById("stop");
    button.disabled = true;
    try {
      const answer = await post(form.dataset.stop, {});
      if (!answer.ok) notify("bad", "Not stopped.", answer.data.message ?? `The server answered ${answer.status}.`);
    } catch {
      notify("bad", "The server does not answer.", "The run goes on by itself.");
    }
    button.disabled = false;
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  say.addEventListener("input", () => {
    grow();
    keep();
  });
  say.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.metaKey || event.ctrlKey) || event.isComposing) return;
    event.preventDefault();
    submit();
  });
  document.getElementById("stop").addEventListener("click", stop);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || event.isComposing) return;
    const elsewhere = document.querySelector("dialog[open], details[data-menu][open]") ?? event.target.closest("[data-editing]");
    if (!elsewhere && line().hasAttribute("data-busy")) stop();
  });
  document.addEventListener("click", async (event) => {
    const again = event.target.closest("[data-again]");
    if (!again) return;
    again.disabled = true;
    const answer = await post(again.dataset.again, {}).catch(() => null);
    again.disabled = false;
    if (answer?.ok) expect(answer.data.run_id);
    else notify("bad", "Not sent again.", answer?.data.message ?? "The server does not answer.");
    show();
  });

  // The server draws the run line; when it says that nothing goes on, the next message may go.
  const observer = new MutationObserver(() => {
    if (awaited && (line().dataset.run === awaited || document.getElementById(awaited))) awaited = null;
    show();
    sendNext();
  });
  observer.observe(line(), { attributes: true, childList: true, subtree: true });
  observer.observe(waiting, { attributes: true });

  say.value = read(draftKey) ?? "";
  for (const message of queue.filter((each) => each.lost)) {
    queue = queue.filter((each) => each !== message);
    giveBack(message);
    notify("warn", "A queued message was taken back.", "Its images were lost when the page was left. Add them again.");
  }
  grow();
  show();
  sendNext();
}

function read(key) {
  try {
    return sessionStorage.getItem(key);
  } catch {
    return null; // storage is off: the field keeps the text until the page is left
  }
}

function write(key, value) {
  try {
    if (value) sessionStorage.setItem(key, value);
    else sessionStorage.removeItem(key);
  } catch {
    // as above
  }
}
