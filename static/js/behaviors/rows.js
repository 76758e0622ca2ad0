// Rows of a list: a click anywhere peeks (or opens where there is no peek), j and k go on, Enter opens.
const wide = matchMedia("(min-width: 900px)");
const selected = () => document.querySelector('tr[data-row][aria-selected="true"]');

function select(row) {
  selected()?.removeAttribute("aria-selected");
  row?.setAttribute("aria-selected", "true");
}

function peekOrOpen(row) {
  const peek = row.querySelector("[data-row-peek]");
  if (peek && wide.matches) {
    select(row);
    peek.click();
  } else {
    row.querySelector("[data-row-open]")?.click();
  }
}

document.addEventListener("click", (event) => {
  const close = event.target.closest("[data-peek-close]");
  if (close && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    const peek = document.getElementById("peek");
    peek.hidden = true;
    peek.replaceChildren();
    select(null);
    const address = new URL(location.href);
    address.searchParams.delete("peek");
    history.replaceState(history.state, "", address);
    return;
  }
  const row = event.target.closest("tr[data-row]");
  if (!row || getSelection()?.toString()) return;
  const link = event.target.closest("a, button, input, label");
  if (!link) peekOrOpen(row);
  else if (link.matches("[data-row-peek]")) {
    select(row);
    // The address follows the panel, so that it can be sent to a colleague.
    history.replaceState(history.state, "", link.href);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
  const rows = [...document.querySelectorAll("tr[data-row]")];
  if (!rows.length) return;
  const at = rows.indexOf(selected());
  if (event.key === "j" || event.key === "k") {
    const next = rows[Math.max(0, Math.min(rows.length - 1, at + (event.key === "j" ? 1 : -1)))];
    select(next);
    next.scrollIntoView({ block: "nearest" });
    const peek = next.querySelector("[data-row-peek]");
    if (peek && wide.matches && !document.getElementById("peek")?.hidden) peek.click();
  } else if (event.key === "Enter" && at >= 0 && !event.target.closest("a, button, summary")) {
    rows[at].querySelector("[data-row-open]")?.click();
  }
});
