// `g` and then a letter goes to a section, where no field has the focus.
const WITHIN_MS = 1200;
let since = 0;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, textarea, select, [contenteditable]")) return;
  if (event.key === "g") {
    since = event.timeStamp;
    return;
  }
  if (!since || event.timeStamp - since > WITHIN_MS) return;
  since = 0;
  document.querySelector(`[data-go="${CSS.escape(event.key)}"]`)?.click();
});
