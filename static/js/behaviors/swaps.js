// What a person opened, wrote or is editing is not the server's to change when it draws a part anew.
Idiomorph.defaults.callbacks.beforeNodeMorphed = (old, fresh) => {
  if (!(old instanceof Element) || !(fresh instanceof Element)) return true;
  if (old.matches("[data-drawn]")) return false;
  // A timer goes on by itself; the server's figure only sets it right.
  if (old.matches("[data-timer]") && fresh.matches("[data-timer]")) {
    if (fresh.dataset.timer > 0) old.dataset.timer = fresh.dataset.timer;
    return false;
  }
  if (old.matches("time[data-clock]") && old.dateTime === fresh.dateTime) return false;
  if (old.matches("[data-editing]")) return false;
  // A call that ends closes by itself, unless somebody chose.
  if (old.matches("details.call") && old.dataset.state === fresh.dataset.state) fresh.open = old.open;
  else if (old.matches("details") && ("chosen" in old.dataset || !old.matches(".call"))) fresh.open = old.open;
  if ("chosen" in old.dataset) fresh.dataset.chosen = "";
  return true;
};
document.addEventListener("click", (event) => {
  const details = event.target.closest("summary")?.parentElement;
  if (details) details.dataset.chosen = "";
});
