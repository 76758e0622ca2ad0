// The number of the rail that says how much waits: asked for again when a run begins or ends, or a proposal is made or decided.
import { onChange } from "./workspace_socket.js";

const AT_MOST_EVERY_MS = 1000;
const KINDS = ["run_started", "run_ended", "proposal_changed", "missed"];
let pending = null;

function refresh() {
  pending = null;
  const place = document.getElementById("rail-waiting");
  if (place && window.htmx) htmx.ajax("GET", place.dataset.address, { target: place, swap: "outerHTML" });
}

onChange((kind) => {
  // For parts of a page that ask for themselves again (hx-trigger).
  document.body.dispatchEvent(new CustomEvent(`changed:${kind}`));
  if (!document.hidden && KINDS.includes(kind)) pending ??= setTimeout(refresh, AT_MOST_EVERY_MS);
});
