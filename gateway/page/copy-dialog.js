// The dialog that shows the query as a command, to copy it.

import { commandOf, LANGUAGES } from "./commands.js";
import { byId, closable, el } from "./elements.js";

let shown = null;

/** Shows the query of a collection; the language can be changed. */
export function showCommand(collection, query) {
  const dialog = byId("copy-dialog");
  if (!shown) listen(dialog);
  shown = { collection, query, language: shown?.language ?? "curl" };
  byId("copy-languages").replaceChildren(...Object.keys(LANGUAGES).map((language) =>
    el("button", { type: "button", className: "chip", "data-language": language, onclick: () => paint(language) }, language)));
  const own = query.parts.filter((part) => part.key).length;
  byId("copy-note").textContent = own ? "Images of your own are read from files: put them beside the command under these names." : "";
  paint(shown.language);
  dialog.showModal();
}

function listen(dialog) {
  closable(dialog);
  byId("copy-button").addEventListener("click", async () => {
    const text = byId("copy-text");
    // Browsers lend the clipboard to pages of https and of this machine only; elsewhere people press Ctrl+C.
    const isCopied = await navigator.clipboard?.writeText(text.value).then(() => true, () => false);
    if (!isCopied) text.select();
    byId("copy-button").textContent = isCopied ? "Copied" : "Press Ctrl+C";
  });
}

async function paint(language) {
  shown.language = language;
  byId("copy-button").textContent = "Copy";
  for (const chip of byId("copy-languages").children) chip.setAttribute("aria-pressed", String(chip.dataset.language === language));
  byId("copy-text").value = await commandOf(language, shown.collection, shown.query);
}
