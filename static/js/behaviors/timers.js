// `data-timer` counts on from its milliseconds, for as long as it is on the page.
const began = new WeakMap();
setInterval(() => {
  for (const timer of document.querySelectorAll("[data-timer]")) {
    const known = began.get(timer);
    const offset = Number(timer.dataset.timer);
    if (!known || known.offset !== offset) began.set(timer, { offset, from: performance.now() - offset });
    const ms = performance.now() - began.get(timer).from;
    if (ms < 400) continue;
    const text = ms < 10_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 1000)} s`;
    if (timer.textContent !== text) timer.textContent = text;
  }
}, 100);
