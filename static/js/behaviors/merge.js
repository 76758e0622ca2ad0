// The merge screen: a choice shows its lines in the field, what is written there is a choice, and keys choose.
const form = document.getElementById("merge-form");
const places = () => [...form.querySelectorAll("[data-place]")];
const isSettled = (place) => place.querySelector("input[type=radio]:checked") !== null;

function count() {
  const open = places().filter((place) => !isSettled(place)).length;
  form.querySelector("[data-open-count]").textContent = open ? `${open} left` : "";
  for (const place of places()) place.toggleAttribute("data-settled", isSettled(place));
}

form.addEventListener("change", (event) => {
  const text = event.target.closest("[data-place]")?.querySelector("textarea");
  if (event.target.type === "radio" && text && event.target.dataset.text !== undefined) text.value = event.target.dataset.text;
  count();
});

form.addEventListener("input", (event) => {
  if (!event.target.matches("textarea")) return;
  event.target.closest("[data-place]").querySelector('input[value="own"]').checked = true;
  count();
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input:not([type=radio]), textarea, select")) return;
  const all = places();
  if (!all.length) return;
  const current = event.target.closest("[data-place]") ?? all.find((place) => !isSettled(place)) ?? all[0];
  if (event.key === "j" || event.key === "k") {
    const inside = event.target.closest("[data-place]");
    const at = inside ? all.indexOf(inside) + (event.key === "j" ? 1 : -1) : 0;
    const next = all[Math.max(0, Math.min(all.length - 1, at))];
    (next.querySelector("input:checked") ?? next.querySelector("input")).focus();
    next.scrollIntoView({ block: "nearest" });
  } else if ("123".includes(event.key)) {
    const radio = current.querySelectorAll("input[type=radio]")[Number(event.key) - 1];
    if (!radio) return;
    event.preventDefault();
    radio.checked = true;
    radio.focus();
    radio.dispatchEvent(new Event("change", { bubbles: true }));
  }
});
