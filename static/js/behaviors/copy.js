// `data-copy="text"` puts the text on the clipboard and says so; `data-copy-from="id"` copies what an element shows, `data-copy-link="id"` its address, `data-copy-code` the block of code around it.
import { notify } from "./notices.js";

async function write(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Plain http on a LAN has no clipboard API.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "vh";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("not copied");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy], [data-copy-from], [data-copy-link], [data-copy-code]");
  if (!button) return;
  event.preventDefault();
  const code = "copyCode" in button.dataset ? button.closest(".code-block").querySelector("code") : null;
  const source = code ?? document.getElementById(button.dataset.copyFrom ?? "");
  const link = "copyLink" in button.dataset ? `${location.href.split("#")[0]}#${button.dataset.copyLink}` : undefined;
  const text = button.dataset.copy ?? link ?? source?.value ?? source?.textContent ?? "";
  try {
    await write(text.trim());
    button.dataset.copied = "";
    setTimeout(() => delete button.dataset.copied, 1200);
    const region = document.getElementById("spoken");
    if (region) region.textContent = "Copied.";
  } catch {
    notify("bad", "Not copied.", "The browser refused. Select the text and copy it.");
  }
});
