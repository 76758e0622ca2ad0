// `[data-run]` runs what stands in the form that it names, and shows what the server tells of it, a line of JSON at a time.
// To leave or to stop is to close the connection: the server ends the call then.
import { read, write } from "./kept_arguments.js";

const pane = document.querySelector("[data-run]");
if (pane) begin(pane);

function begin(pane) {
  const form = document.getElementById(pane.dataset.runForm);
  const go = pane.querySelector("[data-run-go]");
  const stop = pane.querySelector("[data-run-stop]");
  const outcome = pane.querySelector("#run-outcome");
  let going = null;

  go.addEventListener("click", run);
  stop.addEventListener("click", () => going?.abort());
  // Before the editor, to which this key means a new line.
  addEventListener(
    "keydown",
    (event) => {
      const isShort = event.key === "Enter" && (event.ctrlKey || event.metaKey);
      // Enter in a field of one line would save the tool.
      const isEnter = event.key === "Enter" && event.target.matches?.('input[name^="run."]');
      if (!isShort && !isEnter) return;
      event.preventDefault();
      event.stopPropagation();
      run();
    },
    true,
  );
  pane.addEventListener("change", (event) => {
    if (event.target.name === "run.mode") redraw(form);
  });

  async function run() {
    if (going) return;
    going = new AbortController();
    go.disabled = true;
    stop.hidden = false;
    try {
      await follow(await fetch(pane.dataset.run, { method: "POST", body: new FormData(form), signal: going.signal }));
    } catch (error) {
      if (error.name === "AbortError") broken("Stopped", "The call and all that it had started were ended.");
      else broken("No answer", "The connection to the server broke off. The call has been ended.");
    } finally {
      going = null;
      go.disabled = false;
      stop.hidden = true;
    }
  }

  async function follow(answer) {
    if (answer.headers.get("Content-Type")?.startsWith("application/x-ndjson")) {
      outcome.replaceChildren(pane.querySelector("[data-run-going]").content.cloneNode(true));
      show();
      if (getComputedStyle(pane).display === "none") document.getElementById("tab-3").click();
      for await (const told of lines(answer.body)) tell(told);
    } else if (answer.status === 422) {
      swap("#run-input", await answer.text(), "outerHTML");
      pane.querySelector('#run-input [aria-invalid="true"]')?.focus();
      outcome.replaceChildren();
    } else {
      broken("Did not run", answer.redirected ? "You are signed out. Sign in again; what you wrote stays here." : `The server answered ${answer.status}.`);
    }
  }

  function tell(told) {
    if (told.log !== undefined) {
      const log = outcome.querySelector(".run-log");
      outcome.querySelector("[data-run-doing]").textContent = "Installing packages";
      const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.hidden = false;
      log.append(told.log);
      if (isAtEnd) log.scrollTop = log.scrollHeight;
      return;
    }
    // Drawn without their errors: they were good enough.
    for (const field of pane.querySelectorAll('#run-input [aria-invalid="true"]')) field.removeAttribute("aria-invalid");
    for (const each of pane.querySelectorAll("#run-input .field-error, #run-input .fault-line")) each.remove();
    swap("#run-outcome", told.html, "innerHTML");
    show();
    keep({ arguments: told.arguments, state: told.state, ms: told.ms, at: Date.now() });
  }

  function broken(title, text) {
    const part = pane.querySelector("[data-run-broken]").content.cloneNode(true);
    part.querySelector("[data-run-broken-title]").textContent = title;
    part.querySelector("[data-run-broken-text]").textContent = text;
    outcome.replaceChildren(part);
    show();
  }

  // Below a long form it would go unseen.
  function show() {
    outcome.scrollIntoView({ block: "nearest" });
  }

  // The arguments of the last runs.
  const list = pane.querySelector("[data-run-recent-list]");
  function keep(run) {
    write(pane.dataset.runKey, run);
    listRuns();
  }
  function listRuns() {
    const runs = read(pane.dataset.runKey);
    pane.querySelector("[data-run-recent]").hidden = runs.length === 0;
    pane.querySelector("[data-run-recent-count]").textContent = runs.length;
    list.replaceChildren(...runs.map(item));
    return runs;
  }
  function item(run) {
    const row = pane.querySelector("[data-run-recent-item]").content.firstElementChild.cloneNode(true);
    row.querySelector(".dot").dataset.state = run.state;
    row.querySelector("button").textContent = JSON.stringify(run.arguments);
    row.querySelector("button").addEventListener("click", () => fill(run.arguments));
    row.querySelector(".num").textContent = run.ms < 1000 ? `${run.ms} ms` : `${(run.ms / 1000).toFixed(1)} s`;
    return row;
  }
  function fill(values) {
    redraw(form, { "run.shown": "json", "run.json": JSON.stringify(values, null, 2) });
  }
  function redraw(form, changes = {}) {
    const values = { ...Object.fromEntries(new FormData(form)), ...changes };
    htmx.ajax("POST", pane.dataset.runArguments, { values, target: "#run-arguments", swap: "outerHTML" });
  }

  const kept = listRuns();
  // Only over a form that nobody has filled.
  if (kept.length && !isFilled(pane)) fill(kept[0].arguments);
}

function isFilled(pane) {
  return [...pane.querySelectorAll('[name^="run.arg."]')].some((field) => field.value !== "");
}

function swap(target, html, swapStyle) {
  htmx.swap(target, html, { swapStyle });
}

async function* lines(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) yield JSON.parse(part);
  }
}
