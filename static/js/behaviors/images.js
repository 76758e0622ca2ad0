// Images for a message: chosen, pasted or dropped, shown small, taken back. What cannot be sent is said at once.
export function startImages(form, changed) {
  const list = document.getElementById("previews");
  const words = document.getElementById("image-words");
  const picker = document.getElementById("images");
  const most = Number(form.dataset.mostImages);
  const mostBytes = Number(form.dataset.mostBytes);
  const kinds = picker.accept.split(",");
  let files = [];

  function add(chosen) {
    const refused = [];
    for (const file of chosen) {
      if (!kinds.includes(file.type)) refused.push(`${file.name} is no PNG, JPEG, GIF or WebP image.`);
      else if (file.size > mostBytes) refused.push(`${file.name} is larger than ${Math.floor(mostBytes / 1048576)} MB.`);
      else if (files.length >= most) refused.push(`${file.name} is one too many: a message takes ${most} images.`);
      else files.push(file);
    }
    words.textContent = refused.join(" ");
    show();
  }

  function show() {
    for (const image of list.querySelectorAll("img")) URL.revokeObjectURL(image.src);
    list.replaceChildren(
      ...files.map((file) => {
        const row = document.getElementById("preview").content.firstElementChild.cloneNode(true);
        const image = row.querySelector("img");
        image.src = URL.createObjectURL(file);
        image.alt = file.name;
        const remove = row.querySelector("button");
        remove.setAttribute("aria-label", `Remove ${file.name}`);
        remove.addEventListener("click", () => {
          files = files.filter((each) => each !== file);
          words.textContent = "";
          show();
          document.getElementById("say").focus();
        });
        return row;
      }),
    );
    const hint = form.querySelector("[data-no-images]");
    if (hint) hint.hidden = !files.length;
    changed();
  }

  picker.addEventListener("change", () => {
    add(picker.files);
    picker.value = "";
  });
  form.addEventListener("paste", (event) => {
    const pasted = [...event.clipboardData.files];
    if (!pasted.length) return;
    event.preventDefault();
    add(pasted);
  });
  // The whole pane takes them: a small target is missed, and the browser would leave the page for the file.
  const pane = form.closest(".pane");
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  pane.addEventListener("dragover", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    form.toggleAttribute("data-over", true);
  });
  pane.addEventListener("dragleave", (event) => {
    if (!pane.contains(event.relatedTarget)) form.removeAttribute("data-over");
  });
  pane.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    form.removeAttribute("data-over");
    add(event.dataTransfer.files);
  });

  return {
    get count() {
      return files.length;
    },
    // What was chosen, and nothing is chosen any more.
    take() {
      const taken = files;
      files = [];
      words.textContent = "";
      show();
      return taken;
    },
    give(back) {
      files = [...back, ...files];
      show();
    },
  };
}
