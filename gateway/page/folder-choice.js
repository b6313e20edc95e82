// The choice of a folder on the server: the image roots, and what is below them.

import * as api from "./api.js";
import { byId, el } from "./elements.js";

const lastPart = (path) => path.split("/").filter(Boolean).at(-1) ?? path;

/** Lists the folders in a folder below its field; a click chooses one and shows what is in it. */
export async function listFolders(path) {
  const list = byId("folders");
  const found = await api.folders(path).catch(() => null);
  // What was typed may not be a folder yet; the ingest itself says what is wrong.
  if (!found) return;
  if (!path && found.length === 1) {
    choose(found[0]);
    return;
  }
  list.replaceChildren(...found.map((folder) => el("button", { type: "button", className: "chip", title: folder, onclick: () => choose(folder) }, path ? lastPart(folder) : folder)));
  byId("folders-hint").textContent = path || found.length ? "" : "No folder of the server is open to Fovea: start it with --images FOLDER, or upload.";
}

function choose(folder) {
  byId("folder").value = folder;
  byId("folder").focus();
  listFolders(folder);
}
