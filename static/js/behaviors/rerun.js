// The dialog in which a message is edited and run again in a fork.
const rerun = document.getElementById("rerun");
rerun?.addEventListener("htmx:afterSwap", () => {
  if (!rerun.open) rerun.showModal();
  const field = rerun.querySelector("textarea");
  field?.focus();
  field?.setSelectionRange(field.value.length, field.value.length);
});
rerun?.addEventListener("click", (event) => {
  if (event.target === rerun || event.target.closest("[data-rerun-close]")) rerun.close();
});
rerun?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) rerun.querySelector("form").requestSubmit();
});
