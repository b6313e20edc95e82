// DOM nodes: text is inserted as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with properties, `aria-…`/`data-…` attributes and children; null children are left out. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) node.setAttribute(name, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node[name] = value;
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Positions a node over an image; the box is in normalized coordinates. */
export function position(node, box) {
  node.style.left = `${box.x_min * 100}%`;
  node.style.top = `${box.y_min * 100}%`;
  node.style.width = `${(box.x_max - box.x_min) * 100}%`;
  node.style.height = `${(box.y_max - box.y_min) * 100}%`;
}

/** Announces text to screen readers. */
export function announce(text) {
  byId("announcer").textContent = text;
}

const counts = new Intl.NumberFormat("en");

/** A count with its word: 1 image, 1,234 images. */
export function count(number, word, plural = `${word}s`) {
  return `${counts.format(number)} ${number === 1 ? word : plural}`;
}

/** Lets a dialog be closed by its Close and Cancel buttons, and by a click outside. */
export function closable(dialog) {
  for (const button of dialog.querySelectorAll("[data-close]")) {
    button.addEventListener("click", () => dialog.close());
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}

/** Accepts files that are dropped on a node, and highlights it while they are above it. */
export function droppable(node, onFiles) {
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  node.addEventListener("dragenter", (event) => {
    if (!carriesFiles(event)) return;
    depth += 1;
    node.classList.add("over");
  });
  node.addEventListener("dragleave", () => {
    depth = Math.max(0, depth - 1);
    if (depth === 0) node.classList.remove("over");
  });
  node.addEventListener("dragover", (event) => {
    if (carriesFiles(event)) event.preventDefault();
  });
  node.addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    depth = 0;
    node.classList.remove("over");
    if (event.defaultPrevented) return; // A node inside this one has accepted them.
    event.preventDefault();
    if (event.dataTransfer.files.length) onFiles([...event.dataTransfer.files], event.dataTransfer);
  });
}

/** A line drawing of 24 × 24 as an icon. */
export function icon(path) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  node.setAttribute("viewBox", "0 0 24 24");
  node.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  node.append(line);
  return node;
}
