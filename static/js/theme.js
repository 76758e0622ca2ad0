// The theme, set before the first paint: what was chosen here, else what the system prefers.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function stored() {
  try {
    return localStorage.getItem("ade-theme");
  } catch {
    return null; // storage is off: the system decides
  }
}

function apply() {
  root.dataset.bsTheme = stored() ?? (system.matches ? "dark" : "light");
  root.dataset.theme = stored() ?? "auto";
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.setAttribute("aria-label", `Theme: ${root.dataset.theme}. Change`);
    button.title = `Theme: ${root.dataset.theme}`;
  }
}

apply();
system.addEventListener("change", apply);
addEventListener("storage", (event) => event.key === "ade-theme" && apply());
document.addEventListener("DOMContentLoaded", apply);

// One button, three states. The first press always changes what is seen.
document.addEventListener("click", (event) => {
  if (!event.target.closest?.("[data-theme-toggle]")) return;
  const other = system.matches ? "light" : "dark";
  const next = { auto: other, [other]: system.matches ? "dark" : "light" }[root.dataset.theme];
  try {
    if (next) localStorage.setItem("ade-theme", next);
    else localStorage.removeItem("ade-theme");
  } catch {
    return;
  }
  apply();
});
