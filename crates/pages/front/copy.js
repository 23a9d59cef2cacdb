// Adds a button to each block of code that copies it. Without this script the code can be read and selected.

const COPIED_SHOWN_MS = 2000;

for (const block of document.querySelectorAll(".code")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  const label = block.dataset.label ?? "Copy";
  button.textContent = label;
  const status = document.createElement("span");
  status.className = "unseen";
  status.role = "status";
  let timer = 0;
  button.addEventListener("click", async () => {
    const isCopied = await copy(block.querySelector("code"));
    button.textContent = isCopied ? "Copied" : "Press Ctrl+C";
    status.textContent = button.textContent;
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      status.textContent = "";
    }, COPIED_SHOWN_MS);
  });
  block.prepend(button, status);
}

/** Copies the text of an element. Returns false, with the text selected, if the page may not write to the clipboard. */
async function copy(element) {
  try {
    // Absent on pages of http:// other than localhost.
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
