// The switcher of conversations: asks for the list when it opens, moves in it by arrow keys, opens by `s`; Escape ends a renaming.
const switcher = () => document.getElementById("switch");
const rows = () => [...switcher().querySelectorAll("a.conv-row, #switch-list > a, .conv-new input")];

document.addEventListener(
  "toggle",
  (event) => {
    if (event.target !== switcher() || !event.target.open) return;
    htmx.trigger("#switch-list", "wanted");
    const find = event.target.querySelector("#switch-find:not([hidden]) input");
    // On a phone the keyboard would hide the list.
    if (matchMedia("(pointer: fine)").matches) (find ?? event.target.querySelector("[aria-current]"))?.focus();
  },
  true,
);

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey || event.defaultPrevented) return;
  if (event.key === "Escape" && event.target.closest?.("#part-conversation[data-editing]")) {
    event.preventDefault();
    document.querySelector("[data-rename-cancel]").click();
    return;
  }
  if (switcher()?.contains(event.target) && switcher().open && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
    event.preventDefault();
    const all = rows();
    const at = all.indexOf(document.activeElement);
    const next = event.key === "ArrowDown" ? at + 1 : at < 0 ? all.length - 1 : at - 1;
    all[(next + all.length) % all.length]?.focus();
  } else if (event.key === "s" && switcher() && !event.target.closest?.("input, textarea, select, [contenteditable], dialog[open]")) {
    event.preventDefault();
    switcher().open = true;
    switcher().querySelector("summary").focus();
  }
});
