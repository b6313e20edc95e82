// The results: a grid of tiles that grows as one scrolls, or a message where there are none.

import { announce, byId, count, el } from "./elements.js";
import { Selection } from "./selection.js";
import { tile } from "./tile.js";

const SKELETONS = 12;
const SKELETON_DELAY_MS = 250;
// The next page is asked for before its place is seen.
const AHEAD = "1500px";

export class Results {
  /** `onOpen(hit)` is called when an image is chosen, `onAdd(hit, weight)` for more or less like it. */
  constructor({ onOpen, onAdd, onDelete }) {
    this.handlers = { onOpen, onAdd, onSelect: (hit, isSelected) => this.selection.set(hit, isSelected) };
    this.grid = byId("grid");
    this.hits = [];
    this.next = "";
    this.selection = new Selection({ results: this, onDelete });
    this.nearEnd = new IntersectionObserver(([entry]) => entry.isIntersecting && this.nextPage(), { rootMargin: AHEAD });
    byId("more-button").addEventListener("click", () => this.nextPage());
    this.grid.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Dims the results while a request runs, and replaces them by placeholders when it takes longer. */
  showLoading() {
    byId("results").setAttribute("aria-busy", "true");
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => {
      this.#clear();
      this.grid.replaceChildren(...Array.from({ length: SKELETONS }, () => el("li", { className: "skeleton", "aria-hidden": "true" })));
    }, SKELETON_DELAY_MS);
  }

  /** Shows the first page; `load(token, signal)` gives the next ones. */
  show({ collection, title, empty, load, signal }, { hits, next, note, warnings = [] }) {
    this.#settle();
    this.#clear();
    Object.assign(this, { collection, load, signal, next: "" });
    byId("results-head").hidden = false;
    byId("results-title").textContent = title;
    byId("results-note").textContent = note;
    byId("results-tools").hidden = !hits.length;
    byId("warnings").replaceChildren(...warnings.map((warning) => el("li", {}, warning)));
    this.#append(hits, next);
    if (!hits.length) this.#state(empty);
    announce(hits.length ? `${title}: ${note}` : empty.title);
  }

  /** Loads the next page, unless there is none or one is on its way; resolves when its tiles are there. */
  async nextPage() {
    const { next, load, signal } = this;
    if (!next || this.isLoading) return;
    this.isLoading = true;
    byId("more-error").textContent = "";
    byId("more").classList.add("loading");
    try {
      const page = await load(next, signal);
      if (signal.aborted) return;
      this.#append(page.hits, page.next);
      announce(count(this.hits.length, "image"));
    } catch (error) {
      // What is there stays; the button asks again.
      if (!signal.aborted) byId("more-error").textContent = error.message;
      this.nearEnd.disconnect();
    } finally {
      this.isLoading = false;
      byId("more").classList.remove("loading");
    }
  }

  /** Takes images out that were deleted. */
  remove(imageIds) {
    const gone = new Set(imageIds);
    this.hits = this.hits.filter((hit) => !gone.has(hit.image_id));
    for (const node of [...this.grid.children]) if (gone.has(node.dataset.id)) node.remove();
    this.selection.clear();
  }

  /** Moves the focus to the tile of a hit. */
  focus(hit) {
    this.grid.querySelector(`[data-id="${hit.image_id}"] .tile`)?.focus();
  }

  /** Shows a message instead of results; `actions` are pairs of a label and a function. */
  showState(state) {
    this.#settle();
    this.#clear();
    this.#state(state);
    announce(`${state.title} ${state.text}`);
  }

  #append(hits, next) {
    const known = new Set(this.hits.map((hit) => hit.image_id + JSON.stringify(hit.region ?? null)));
    const fresh = hits.filter((hit) => !known.has(hit.image_id + JSON.stringify(hit.region ?? null)));
    this.hits.push(...fresh);
    this.grid.append(...fresh.map((hit) => tile(this.collection, hit, { ...this.handlers, isSelected: this.selection.has(hit) })));
    this.next = next;
    byId("more").hidden = !next;
    // Observed anew, since a page may be too short to move the end out of sight.
    this.nearEnd.disconnect();
    if (next) this.nearEnd.observe(byId("more"));
  }

  #settle() {
    clearTimeout(this.waiting);
    byId("results").removeAttribute("aria-busy");
  }

  #clear() {
    this.hits = [];
    this.next = "";
    this.nearEnd.disconnect();
    this.selection.clear();
    this.grid.replaceChildren();
    for (const id of ["state", "warnings"]) byId(id).replaceChildren();
    byId("results-head").hidden = true;
    byId("more").hidden = true;
    byId("more-error").textContent = "";
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

  /** Arrow keys move between tiles; + and − add the focused one to the query. */
  #key(event) {
    const item = event.target.closest(".tile")?.parentElement;
    if (!item) return;
    const hit = this.hits[[...this.grid.children].indexOf(item)];
    if (hit && (event.key === "+" || event.key === "-")) {
      this.handlers.onAdd(hit, event.key === "+" ? 1 : -1);
      return;
    }
    const columns = getComputedStyle(this.grid).gridTemplateColumns.split(" ").length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key];
    const target = step && this.grid.children[[...this.grid.children].indexOf(item) + step];
    if (!target) return;
    event.preventDefault();
    target.querySelector(".tile")?.focus();
  }
}
