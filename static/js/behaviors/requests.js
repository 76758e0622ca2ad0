// What every htmx request needs: the CSRF token, and words for a server that does not answer.
import { notify } from "./notices.js";

document.addEventListener("htmx:configRequest", (event) => {
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  if (token && event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = token;
});

document.addEventListener("htmx:sendError", () => {
  notify("bad", "The server does not answer.", "Nothing was changed. Try again when it runs.");
});

document.addEventListener("htmx:timeout", () => {
  notify("bad", "No answer in time.", "It may still have been done. Reload the page to see.");
});

// An error that is not one of our notices (a proxy's page, say) has nothing to show: say at least its status.
document.addEventListener("htmx:responseError", (event) => {
  const { xhr } = event.detail;
  if (!xhr.responseText.includes('class="notice"')) notify("bad", `The server answered ${xhr.status}.`, "");
});
