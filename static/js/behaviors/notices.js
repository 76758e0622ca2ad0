// Notices in the corner: closed by their button, and by themselves when nothing failed.
const KEPT_MS = 6000;

export function notify(kind, title, text) {
  const template = document.getElementById(`notice-${kind}`);
  const place = document.getElementById("notices");
  if (!template || !place) return;
  const notice = template.content.firstElementChild.cloneNode(true);
  notice.querySelector("[data-notice-title]").textContent = title;
  notice.querySelector("[data-notice-text]").textContent = text;
  place.append(notice);
}

function leaveLater(notice) {
  if (notice.dataset.kind === "bad") return;
  let timer = setTimeout(() => notice.remove(), KEPT_MS);
  const stop = () => clearTimeout(timer);
  const start = () => {
    stop();
    timer = setTimeout(() => notice.remove(), KEPT_MS);
  };
  notice.addEventListener("pointerenter", stop);
  notice.addEventListener("focusin", stop);
  notice.addEventListener("pointerleave", start);
  notice.addEventListener("focusout", start);
}

const place = document.getElementById("notices");
if (place) {
  for (const notice of place.querySelectorAll(".notice")) leaveLater(notice);
  new MutationObserver((changes) => {
    for (const change of changes)
      for (const node of change.addedNodes)
        if (node instanceof Element && node.matches(".notice")) leaveLater(node);
  }).observe(place, { childList: true });
}

document.addEventListener("click", (event) => {
  event.target.closest?.("[data-notice-close]")?.closest(".notice")?.remove();
});
