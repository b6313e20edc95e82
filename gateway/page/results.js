// The results: a grid of hits, and what stands there while there are none.

import * as api from "./api.js";
import { announce, byId, count, el, place } from "./elements.js";

const SKELETONS = 12;
const PATIENCE_MS = 250;
const RETRY_MS = 1000;

export const nameOf = (hit) => hit.metadata?.filename ?? hit.uri.split("/").pop();

export class Results {
  /** `onOpen(hit)` is called when people choose a picture, `onMore()` when they want the next ones. */
  constructor({ onOpen, onMore }) {
    this.onOpen = onOpen;
    this.grid = byId("grid");
    byId("more-button").addEventListener("click", onMore);
  }

  /** Dims what is there while an answer is on its way, and puts placeholders there when it takes longer. */
  showLoading() {
    byId("results").setAttribute("aria-busy", "true");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.#clear();
      this.grid.replaceChildren(...Array.from({ length: SKELETONS }, skeleton));
    }, PATIENCE_MS);
  }

  /** A fresh answer, or the next page of the one that is shown. */
  show({ collection, hits, title, note, warnings = [], hasMore, isNextPage = false, empty }) {
    this.#settle();
    if (!isNextPage) this.#clear();
    byId("results-head").hidden = false;
    byId("results-title").textContent = title;
    byId("results-note").textContent = note;
    byId("warnings").replaceChildren(...warnings.map((warning) => el("li", {}, warning)));
    this.grid.append(...hits.map((hit) => this.#tile(collection, hit)));
    byId("more").hidden = !hasMore;
    if (!this.grid.children.length) this.#state(empty);
    announce(hits.length ? `${title}: ${note}` : empty.title);
  }

  /** A sentence in place of results; `actions` are pairs of a label and what it does. */
  showState(state) {
    this.#settle();
    this.#clear();
    this.#state(state);
    announce(`${state.title} ${state.text}`);
  }

  #settle() {
    clearTimeout(this.waiting);
    byId("results").removeAttribute("aria-busy");
  }

  #clear() {
    this.grid.replaceChildren();
    byId("state").replaceChildren();
    byId("warnings").replaceChildren();
    byId("results-head").hidden = true;
    byId("more").hidden = true;
  }

  #state({ title, text, actions = [], isError = false }) {
    const buttons = actions.map(([label, act], index) =>
      el("button", { type: "button", className: index ? "quiet" : "primary", onclick: act }, label));
    byId("state").replaceChildren(
      el("div", { className: isError ? "empty is-error" : "empty" },
        isError ? null : byId("empty-icon").content.cloneNode(true),
        el("h2", {}, title),
        el("p", {}, text),
        buttons.length ? el("div", { className: "row centre" }, buttons) : null));
  }

  #tile(collection, hit) {
    const name = nameOf(hit);
    const picture = el("img", { alt: "", loading: "lazy", decoding: "async" });
    const frame = el("div", { className: "frame" }, picture);
    picture.addEventListener("load", () => {
      frame.classList.add("loaded");
      if (hit.region) showRegion(frame, picture, hit.region);
    });
    load(picture, api.thumbnailUrl(collection, hit.image_id, 512), () => frame.classList.add("missing"));
    const copies = hit.copy_count ?? 0;
    if (copies) frame.append(el("span", { className: "copies" }, `+${count(copies, "copy", "copies")}`));
    const caption = el("span", { className: "caption" }, el("span", { className: "name" }, hit.label || name));
    if (hit.score !== undefined) {
      caption.append(" ", el("span", { className: "score", title: "Cosine similarity: 1 is the same" }, hit.score.toFixed(2)));
    }
    // The tile is named by what is seen on it; where that is the object, its picture's name follows for those who listen.
    if (hit.label) caption.append(el("span", { className: "unseen" }, ` in ${name}`));
    const tile = el("button", { type: "button", className: "tile", title: hit.uri, onclick: () => this.onOpen(hit) },
      frame, caption);
    return el("li", {}, tile);
  }
}

const skeleton = () => el("li", { className: "skeleton", "aria-hidden": "true" });

/** Loads a picture, and once more after a cut connection; a browser does not tell that from a missing file. */
function load(picture, url, onMissing) {
  const again = () => {
    picture.addEventListener("error", onMissing, { once: true });
    setTimeout(() => (picture.src = url), RETRY_MS);
  };
  picture.addEventListener("error", again, { once: true });
  picture.src = url;
}

/** Draws the region that matched, and moves the square cut-out so that the region is inside it. */
function showRegion(frame, picture, region) {
  const wide = Math.max(1, picture.naturalWidth / picture.naturalHeight);
  const high = Math.max(1, picture.naturalHeight / picture.naturalWidth);
  const shift = (low, top, length) => Math.min(length - 1, Math.max(0, ((low + top) / 2) * length - 0.5));
  const x = shift(region.x_min, region.x_max, wide);
  const y = shift(region.y_min, region.y_max, high);
  picture.style.objectPosition = `${wide > 1 ? (x / (wide - 1)) * 100 : 50}% ${high > 1 ? (y / (high - 1)) * 100 : 50}%`;
  const box = el("span", { className: "match" });
  place(box, {
    x_min: Math.max(0, region.x_min * wide - x),
    y_min: Math.max(0, region.y_min * high - y),
    x_max: Math.min(1, region.x_max * wide - x),
    y_max: Math.min(1, region.y_max * high - y),
  });
  frame.append(box);
}
