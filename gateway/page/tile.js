// A tile of the results: the image, the region that matched, its score, and what can be done with it.

import * as api from "./api.js";
import { count, el, icon, position } from "./elements.js";

const THUMBNAIL_PX = 512;
const RETRY_MS = 1000;

export const nameOf = (hit) => hit.metadata?.filename ?? hit.uri.split("/").pop();

/** `onOpen(hit)`, `onAdd(hit, weight)` and `onSelect(hit, isSelected)` are called by its buttons. */
export function tile(collection, hit, { isSelected, onOpen, onAdd, onSelect }) {
  const name = nameOf(hit);
  const opener = el("button", { type: "button", className: "tile", title: hit.uri, onclick: () => onOpen(hit) }, frame(collection, hit), caption(hit, name));
  const selected = el("input", { type: "checkbox", checked: isSelected, "aria-label": `Select ${name}`, onchange: () => onSelect(hit, selected.checked) });
  const action = (label, path, act) => el("button", { type: "button", title: label, "aria-label": `${label}: ${name}`, onclick: act }, icon(path));
  const actions = el("div", { className: "tile-actions" },
    action("More like this", "M12 5v14M5 12h14", () => onAdd(hit, 1)), action("Less like this", "M5 12h14", () => onAdd(hit, -1)), el("label", { className: "tile-select" }, selected));
  return el("li", { "data-id": hit.image_id }, opener, actions);
}

function frame(collection, hit) {
  const image = el("img", { alt: "", loading: "lazy", decoding: "async" });
  const node = el("div", { className: "frame" }, image);
  image.addEventListener("load", () => {
    node.classList.add("loaded");
    if (hit.region) showRegion(node, image, hit.region);
  });
  load(image, api.thumbnailUrl(collection, hit.image_id, THUMBNAIL_PX), () => node.classList.add("missing"));
  const copies = hit.copy_count ?? 0;
  const similar = hit.near_duplicates?.length ?? 0;
  if (copies) node.append(el("span", { className: "copies" }, `+${count(copies, "copy", "copies")}`));
  else if (similar) node.append(el("span", { className: "copies" }, `+${similar} nearly the same`));
  return node;
}

function caption(hit, name) {
  const node = el("span", { className: "caption" }, el("span", { className: "name" }, hit.label || name));
  if (hit.score !== undefined) node.append(" ", score(hit));
  // A tile shows the label of its object; screen readers also get the name of its image.
  if (hit.label) node.append(el("span", { className: "unseen" }, ` in ${name}`));
  return node;
}

/** The confidence where the answer has one, which people can read; the cosine similarity in any case. */
function score({ score: similarity, confidence }) {
  const shown = confidence === undefined ? similarity.toFixed(2) : confidence < 0.005 ? "< 1 %" : `${Math.round(confidence * 100)} %`;
  const title = `Cosine similarity ${similarity.toFixed(4)}: 1 is the same`;
  return el("span", { className: "score", title }, shown);
}

/** Loads an image; retries once, because a browser does not distinguish a lost connection from a missing file. */
function load(image, url, onMissing) {
  const again = () => {
    image.addEventListener("error", onMissing, { once: true });
    setTimeout(() => (image.src = url), RETRY_MS);
  };
  image.addEventListener("error", again, { once: true });
  image.src = url;
}

/** Draws the region that matched, and moves the square crop so that the region is inside it. */
function showRegion(node, image, region) {
  const wide = Math.max(1, image.naturalWidth / image.naturalHeight);
  const high = Math.max(1, image.naturalHeight / image.naturalWidth);
  const shift = (low, top, length) => Math.min(length - 1, Math.max(0, ((low + top) / 2) * length - 0.5));
  const x = shift(region.x_min, region.x_max, wide);
  const y = shift(region.y_min, region.y_max, high);
  image.style.objectPosition = `${wide > 1 ? (x / (wide - 1)) * 100 : 50}% ${high > 1 ? (y / (high - 1)) * 100 : 50}%`;
  const box = el("span", { className: "match" });
  position(box, {
    x_min: Math.max(0, region.x_min * wide - x),
    y_min: Math.max(0, region.y_min * high - y),
    x_max: Math.min(1, region.x_max * wide - x),
    y_max: Math.min(1, region.y_max * high - y),
  });
  node.append(box);
}
