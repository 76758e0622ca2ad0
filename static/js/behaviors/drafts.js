// What is typed into a block is kept in this tab until it is saved: going back, a reload or a lost connection loses nothing. A draft keeps the
// version that it was made from, so that saving it later is merged with what came since.
const form = document.querySelector("form[data-draft]");
const value = document.getElementById("id_value");
const note = document.querySelector("[data-draft-note]");

if (form && value && note) {
  const key = `draft-${form.dataset.draft}`;
  const base = form.elements.base_version;
  const stored = value.value;
  const saved = Number(form.dataset.draftSaved) || 0;
  const read = () => JSON.parse(sessionStorage.getItem(key) ?? "null");

  const keep = () => {
    if (value.value === stored) sessionStorage.removeItem(key);
    else sessionStorage.setItem(key, JSON.stringify({ base: Number(base.value), value: value.value }));
  };

  let draft = read();
  if (draft && (draft.base < saved || draft.value === stored)) {
    sessionStorage.removeItem(key);
    draft = null;
  }
  if (draft) {
    note.querySelector("[data-draft-base]").textContent = draft.base;
    note.hidden = false;
  }
  note.querySelector("[data-draft-take]").addEventListener("click", () => {
    value.value = draft.value;
    base.value = draft.base;
    note.hidden = true;
    value.dispatchEvent(new Event("input", { bubbles: true }));
    document.querySelector('[data-view="edit"]')?.click();
  });
  note.querySelector("[data-draft-forget]").addEventListener("click", () => {
    sessionStorage.removeItem(key);
    note.hidden = true;
  });
  document.querySelector("[data-draft-discard]")?.addEventListener("click", () => sessionStorage.removeItem(key));
  value.addEventListener("input", keep);
}
