// The choice of a folder on the server: the image roots, and what is below them.

import * as api from "./api.js";
import { byId, el } from "./elements.js";

const lastPart = (path) => path.split("/").filter(Boolean).at(-1) ?? path;

/** Lists the folders in a folder below its field, or the image roots; a click chooses one and shows what is in it. */
export async function listFolders(path) {
  const found = await foldersIn(path).catch(() => null);
  // What was typed may not be a folder yet; the ingest itself says what is wrong. Meanwhile more may have been typed.
  if (!found || byId("folder").value.trim() !== path) return;
  byId("folders").replaceChildren(...found.map(({ title, folder }) => el("button", { type: "button", className: "chip", title: folder, onclick: () => choose(folder) }, title)));
  byId("folders-hint").textContent = path || found.length ? "" : "No folder of the server is open to Fovea: start it with --root FOLDER, or upload.";
}

async function foldersIn(path) {
  const found = (await api.folders(path)).map((folder) => ({ folder, title: path ? lastPart(folder) : folder }));
  // One root is not much of a choice.
  return !path && found.length === 1 ? [...found, ...(await foldersIn(found[0].folder))] : found;
}

function choose(folder) {
  byId("folder").value = folder;
  byId("folder").focus();
  listFolders(folder);
}
