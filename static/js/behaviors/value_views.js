// Edit, blame, diff and raw of one block: the editor stays in the page behind the others, so that nothing typed is lost. Blame and diff are asked
// of the server with what is typed. In the blame a click on lines opens how they came about, another one closes it.
const pane = document.getElementById("value-view");
const editor = document.getElementById("id_value");
const form = document.getElementById("block-form");
const links = [...document.querySelectorAll("[data-view]")];

function show(link) {
  const isEdit = link.dataset.view === "edit";
  editor.hidden = !isEdit;
  pane.hidden = isEdit;
  for (const each of links) each.toggleAttribute("aria-current", false);
  link.setAttribute("aria-current", "true");
  history.replaceState(null, "", link.href);
  if (isEdit) return editor.focus();
  if (link.dataset.view === "raw") {
    const raw = document.createElement("pre");
    raw.className = "raw";
    raw.textContent = editor.value;
    return pane.replaceChildren(raw);
  }
  htmx.ajax("POST", link.dataset.viewOf, { source: link, target: pane, swap: "innerHTML", values: { value: editor.value, csrfmiddlewaretoken: form.elements.csrfmiddlewaretoken.value } });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("[data-view]");
  if (link && !event.metaKey && !event.ctrlKey && !event.shiftKey) {
    event.preventDefault();
    show(link);
    return;
  }
  const row = event.target.closest?.(".blame-row[data-group]");
  if (row && !event.target.closest("a") && getSelection().isCollapsed) document.getElementById(`head-${row.dataset.group}`)?.click();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  const head = event.target;
  if (!head.matches?.(".blame-v[aria-controls]")) return;
  const place = document.getElementById(head.getAttribute("aria-controls"));
  const isOpen = head.getAttribute("aria-expanded") === "true";
  head.setAttribute("aria-expanded", String(!isOpen));
  if (!isOpen) return;
  event.preventDefault();
  place.replaceChildren();
});
