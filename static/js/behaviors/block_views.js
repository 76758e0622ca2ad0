// The views of a block's value: blame, the text, and what is not saved. All of one form, so switching loses nothing.
const pane = document.querySelector("[data-views]");
const links = [...pane.querySelectorAll("[data-view]")];
const text = document.getElementById("id_value");

function show(view) {
  pane.dataset.views = view;
  for (const link of links) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  document.getElementById(`view-${view}`)?.dispatchEvent(new Event("show-view"));
  if (view === "edit") text.focus();
}

pane.addEventListener("click", (event) => {
  const link = event.target.closest("[data-view]");
  if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    show(link.dataset.view);
  }
  // A second press closes what the first one opened.
  const written = event.target.closest("[data-written]");
  const slot = written && document.getElementById(written.dataset.written);
  if (slot?.hasChildNodes()) {
    event.preventDefault();
    event.stopPropagation();
    slot.replaceChildren();
  }
}, true);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  if (event.key !== "e" && event.key !== "b") return;
  event.preventDefault();
  show(event.key === "e" ? "edit" : "blame");
});

for (const select of document.querySelectorAll("select[data-submits]")) select.addEventListener("change", () => select.form.requestSubmit());
