// Messages that wait for the run to end: seen above the composer, edited in their place, removed, sent in their order.
//
// They are kept for this tab: a reload finds them again, and two tabs with the same conversation do not send one message twice.
import { read, write } from "./kept_text.js";

// `changed` is called when a person has changed the queue: what may go next can be another one.
export function startQueue(name, changed) {
  const list = document.getElementById("queue");
  let messages = JSON.parse(read(name) ?? "[]");
  // The message that is being edited; it is not sent meanwhile, nor are those behind it.
  let edited = null;
  const rows = new WeakMap();

  function keep() {
    // Images are too large for the storage; how many there were is told after a reload.
    const kept = messages.map(({ images, ...message }) => ({ ...message, lost: images?.length ?? message.lost ?? 0 }));
    write(name, messages.length ? JSON.stringify(kept) : "");
  }

  function set(after) {
    messages = after;
    keep();
    show();
  }

  function show() {
    const wanted = messages.map((message) => rows.get(message) ?? makeRow(message));
    for (const row of [...list.children]) if (!wanted.includes(row)) row.remove();
    // A row that stands right is not moved: it may have the focus.
    wanted.forEach((row, place) => list.children[place] === row || list.insertBefore(row, list.children[place] ?? null));
  }

  function makeRow(message) {
    const row = document.getElementById("queue-row").content.firstElementChild.cloneNode(true);
    rows.set(message, row);
    const field = row.querySelector("textarea");
    const fill = () => {
      const count = message.images?.length ?? 0;
      const more = count ? ` (${count} ${count === 1 ? "image" : "images"})` : "";
      row.querySelector(".clip").textContent = `Queued: ${message.text}${more}`;
      row.querySelector(".chip").hidden = message.role !== "system";
    };
    const edit = (isEdited) => {
      edited = isEdited ? message : null;
      row.toggleAttribute("data-editing", isEdited);
      if (isEdited) {
        field.value = message.text;
        field.rows = Math.min(8, message.text.split("\n").length + 1);
        field.focus();
      } else row.querySelector("[data-queue-edit]").focus();
    };
    const save = () => {
      const text = field.value.trim();
      if (!text && !message.images?.length) return remove();
      message.text = text;
      // Another message than the one that may have been tried.
      message.otid = crypto.randomUUID?.() ?? "";
      fill();
      edit(false);
      keep();
      changed();
    };
    const remove = () => {
      if (edited === message) edited = null;
      set(messages.filter((each) => each !== message));
      document.getElementById("say").focus();
      changed();
    };
    row.querySelector("[data-queue-edit]").addEventListener("click", () => edit(true));
    row.querySelector("[data-queue-remove]").addEventListener("click", remove);
    row.querySelector("[data-queue-save]").addEventListener("click", save);
    row.querySelector("[data-queue-cancel]").addEventListener("click", () => {
      edit(false);
      changed();
    });
    field.addEventListener("keydown", (event) => {
      if (event.key === "Escape") {
        edit(false);
        changed();
      } else if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) save();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    fill();
    return row;
  }

  show();
  return {
    get length() {
      return messages.length;
    },
    add: (message) => set([...messages, message]),
    putBack: (message) => set([message, ...messages]),
    // The next one to send; nothing while it is being edited.
    take() {
      const [next, ...rest] = messages;
      if (!next || next === edited) return null;
      set(rest);
      return next;
    },
    // Those whose images a reload lost: they are not sent without them.
    takeBroken() {
      const broken = messages.filter((each) => each.lost);
      if (broken.length) set(messages.filter((each) => !each.lost));
      return broken;
    },
  };
}
