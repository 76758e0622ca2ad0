// A form with `data-unsaved`: says that something is not saved, saves with Ctrl or Cmd and S, asks before the page is left.
const form = document.querySelector("form[data-unsaved]");

if (form) {
  const note = document.querySelector("[data-unsaved-note]");
  // What a run of a tool is given is not saved with it.
  const state = () => JSON.stringify([...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken" && !name.startsWith("run.")));
  const saved = state();
  let isLeaving = false;

  const check = () => {
    const isChanged = state() !== saved;
    if (note) note.hidden = !isChanged;
    return isChanged;
  };

  document.addEventListener("input", check);
  document.addEventListener("change", check);
  form.addEventListener("submit", () => (isLeaving = true));
  addEventListener("beforeunload", (event) => {
    if (!isLeaving && check()) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "s" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (form.querySelector('button[type="submit"]') || document.querySelector(`button[form="${form.id}"]`)) form.requestSubmit();
  });
}
