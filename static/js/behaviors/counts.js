// `data-count-of="field"` shows how many characters a field holds; with `data-count-limit="field"` of how many.
const numbers = new Intl.NumberFormat("en-US");

// As the server counts: code points, and a line end is one character.
const length = (text) => [...text].length;

function show(place) {
  const field = document.getElementById(place.dataset.countOf);
  if (!field) return;
  const used = length(field.value);
  const limit = Number(document.getElementById(place.dataset.countLimit ?? "")?.value) || null;
  const text = limit ? `${numbers.format(used)} of ${numbers.format(limit)} characters` : `${numbers.format(used)} characters`;
  if (place.textContent !== text) place.textContent = text;
  place.classList.toggle("bad", limit !== null && used > limit);
}

function showAll() {
  for (const place of document.querySelectorAll("[data-count-of]")) show(place);
}

document.addEventListener("input", (event) => {
  const id = CSS.escape(event.target.id);
  for (const place of document.querySelectorAll(`[data-count-of="${id}"], [data-count-limit="${id}"]`)) show(place);
});
document.addEventListener("htmx:load", showAll);
showAll();
