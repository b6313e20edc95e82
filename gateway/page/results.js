// The results: a grid of hits, or a message where there are none.

import * as api from "./api.js";
import { announce, byId, count, el, position } from "./elements.js";

const SKELETONS = 12;
const SKELETON_DELAY_MS = 250;
const RETRY_MS = 1000;

export const nameOf = (hit) => hit.metadata?.filename ?? hit.uri.split("/").pop();

export class Results {
  /** `onOpen(hit)` is called when an image is chosen, `onMore()` for the next page. */
  constructor({ onOpen, onMore }) {
    this.onOpen = onOpen;
    this.grid = byId("grid");
    byId("more-button").addEventListener("click", onMore);
  }

  /** Dims the results while a request runs, and replaces them by placeholders when it takes longer. */
  showLoading() {
    byId("results").setAttribute("aria-busy", "true");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.#clear();
      this.grid.replaceChildren(...Array.from({ length: SKELETONS }, skeleton));
    }, SKELETON_DELAY_MS);
  }

  /** Shows a new response, or appends the next page of the current one. */
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

  /** Shows a message instead of results; `actions` are pairs of a label and a function. */
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
    const buttons = actions.map(([label, act], order) =>
      el("button", { type: "button", className: order ? "quiet" : "primary", onclick: act }, label));
    byId("state").replaceChildren(
      el("div", { className: isError ? "empty is-error" : "empty" },
        isError ? null : byId("empty-icon").content.cloneNode(true),
        el("h2", {}, title),
        el("p", {}, text),
        buttons.length ? el("div", { className: "row centre" }, buttons) : null));
  }

  #tile(collection, hit) {
    const name = nameOf(hit);
    const image = el("img", { alt: "", loading: "lazy", decoding: "async" });
    const frame = el("div", { className: "frame" }, image);
    image.addEventListener("load", () => {
      frame.classList.add("loaded");
      if (hit.region) showRegion(frame, image, hit.region);
    });
    load(image, api.thumbnailUrl(collection, hit.image_id, 512), () => frame.classList.add("missing"));
    const copies = hit.copy_count ?? 0;
    if (copies) frame.append(el("span", { className: "copies" }, `+${count(copies, "copy", "copies")}`));
    const caption = el("span", { className: "caption" }, el("span", { className: "name" }, hit.label || name));
    if (hit.score !== undefined) {
      caption.append(" ", el("span", { className: "score", title: "Cosine similarity: 1 is the same" }, hit.score.toFixed(2)));
    }
    // A tile shows the label of its object; screen readers also get the name of its image.
    if (hit.label) caption.append(el("span", { className: "unseen" }, ` in ${name}`));
    const tile = el("button", { type: "button", className: "tile", title: hit.uri, onclick: () => this.onOpen(hit) },
      frame, caption);
    return el("li", {}, tile);
  }
}

const skeleton = () => el("li", { className: "skeleton", "aria-hidden": "true" });

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
function showRegion(frame, image, region) {
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
  frame.append(box);
}
