// Two images side by side, with what differs in their facts.

import * as api from "./api.js";
import { byId, closable, el } from "./elements.js";
import { nameOf } from "./tile.js";

let isReady = false;

/** Shows two hits beside each other; their records follow. */
export async function compare(collection, hits) {
  const dialog = byId("compare-dialog");
  if (!isReady) closable(dialog);
  isReady = true;
  byId("compare-images").replaceChildren(...hits.map((hit) => el("figure", {},
    el("img", { src: api.thumbnailUrl(collection, hit.image_id, 1024), alt: nameOf(hit) }), el("figcaption", {}, nameOf(hit)))));
  byId("compare-facts").replaceChildren();
  dialog.showModal();
  const records = await Promise.all(hits.map((hit) => api.image(collection, hit.image_id).catch(() => null)));
  byId("compare-facts").replaceChildren(...rows(hits, records));
}

function rows(hits, records) {
  const columns = hits.map((hit, position) => {
    const record = records[position];
    const own = { Score: hit.score?.toFixed(4), Size: record && `${record.width_px} × ${record.height_px} px`, Camera: record?.exif?.camera, Taken: record?.exif?.taken };
    return { ...own, ...(record?.metadata ?? hit.metadata) };
  });
  const names = [...new Set(columns.flatMap(Object.keys))].filter((name) => columns.some((column) => column[name] !== undefined && column[name] !== null));
  const shown = (value) => (value === undefined || value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));
  return names.map((name) => {
    const values = columns.map((column) => shown(column[name]));
    return el("tr", { className: values[0] === values[1] ? "" : "differs" }, el("th", { scope: "row" }, name), ...values.map((value) => el("td", {}, value)));
  });
}
