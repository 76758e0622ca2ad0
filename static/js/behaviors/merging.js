// The merge screen: keys 1, 2 and 3 choose for the first open place or the one with the focus; the button says how many are left.
const form = document.querySelector("form[data-merge]");
const save = form.querySelector("[data-merge-save]");
const places = [...form.querySelectorAll("[data-clash]")];
const KEYS = { 1: "mine", 2: "theirs", 3: "both" };

const isSettled = (place) => place.querySelector("input[type=radio]:checked") !== null;

function show() {
  for (const place of places) place.querySelector("[data-merge-state]").textContent = isSettled(place) ? "settled" : "open";
  const left = places.filter((place) => !isSettled(place)).length;
  save.textContent = left ? `Save merge, ${left} left` : "Save merge";
  save.disabled = left > 0;
}

function choose(place, side) {
  const radio = place?.querySelector(`input[type=radio][value=${side}]`);
  if (!radio) return;
  radio.checked = true;
  show();
  const next = places.find((each) => !isSettled(each));
  next?.scrollIntoView({ block: "nearest" });
  (next ?? save).focus({ preventScroll: true });
}

form.addEventListener("change", show);
form.addEventListener("input", (event) => {
  if (event.target.name?.startsWith("text_")) event.target.closest("[data-clash]").querySelector("input[value=text]").checked = true;
  show();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && (event.key === "s" || event.key === "Enter")) {
    event.preventDefault();
    if (!save.disabled) form.requestSubmit();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
  if (event.target.closest?.("textarea, input:not([type=radio], [type=checkbox])")) return;
  event.preventDefault();
  const place = event.target.closest?.("[data-clash]") ?? places.find((each) => !isSettled(each)) ?? places[0];
  choose(place, KEYS[event.key]);
});
addEventListener("pageshow", show);
