// A list that shows runs refreshes itself while the page is seen, so that its states are true.
const EVERY_MS = 5000;

setInterval(() => {
  const place = document.querySelector("[data-live-list]");
  const list = place && document.querySelector(place.dataset.liveList);
  if (!list || document.hidden || !window.htmx || list.querySelector(".htmx-request")) return;
  const chosen = document.querySelector('tr[data-row][aria-selected="true"]')?.id;
  htmx
    .ajax("GET", location.pathname + location.search, { target: list, swap: "morph:outerHTML", source: list })
    .then(() => chosen && document.getElementById(chosen)?.setAttribute("aria-selected", "true"));
}, EVERY_MS);
