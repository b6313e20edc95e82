// Values of metadata as chips: how often each occurs, and a click shows only those images. Nothing waits for them.

import * as api from "./api.js";
import { byId, el } from "./elements.js";
import { filterOf } from "./query.js";

const MAX_FIELDS = 8;
const MAX_SHOWN_FIELDS = 5;
const SHOWN = 8;
const BUILT_IN = ["$camera"];
const NAMES = { $camera: "Camera" };
// Names of files are on the tiles.
const PASSED_OVER = new Set(["filename"]);

const format = new Intl.NumberFormat("en", { notation: "compact" });
const isPlain = (value) => ["string", "number", "boolean"].includes(typeof value) && String(value).length <= 60;

export class Facets {
  /** `onToggle(field, value)` chooses or leaves a value. */
  constructor(onToggle) {
    this.onToggle = onToggle;
    this.counting = new AbortController();
    this.fields = new Map();
  }

  /** Counts the values in the images that match the filter; `hits` show which fields there are. */
  async show(collection, query, hits) {
    this.counting.abort();
    this.counting = new AbortController();
    const { signal } = this.counting;
    const fields = this.#fieldsOf(collection, hits, Object.keys(query.facets));
    if (!fields.length) return byId("facets").replaceChildren();
    // Those of a refused filter are of no use, and its error stands where the results would.
    const counted = await api.facets(collection, { fields, filter: filterOf(query), signal }).catch(() => null);
    if (signal.aborted || !counted) return undefined;
    const useful = counted.facets.filter((facet) => isUseful(facet, query.facets[facet.field])).slice(0, MAX_SHOWN_FIELDS);
    const focused = byId("facets").contains(document.activeElement) ? document.activeElement.dataset.value : null;
    byId("facets").replaceChildren(...useful.map((facet) => this.#group(facet, query.facets[facet.field] ?? [])));
    return focused && [...byId("facets").querySelectorAll("button")].find((chip) => chip.dataset.value === focused)?.focus();
  }

  clear() {
    this.counting.abort();
    byId("facets").replaceChildren();
  }

  /** The fields that images of this collection were seen to have. */
  #fieldsOf(collection, hits, chosen) {
    const known = this.fields.get(collection) ?? new Set([...BUILT_IN]);
    this.fields.set(collection, known);
    for (const { metadata } of hits) {
      for (const [name, value] of Object.entries(metadata ?? {})) {
        if (!PASSED_OVER.has(name) && !/[`\\]/.test(name) && (isPlain(value) || Array.isArray(value))) known.add(name);
      }
    }
    return [...new Set([...chosen, ...known])].slice(0, MAX_FIELDS);
  }

  #group({ field, values }, chosen) {
    const [shown, more] = [values.slice(0, SHOWN), values.slice(SHOWN)];
    const chips = (some) => some.map(({ value, count }) => this.#chip(field, value, count, chosen.includes(value)));
    const missing = chosen.filter((value) => !values.some((each) => each.value === value)).map((value) => ({ value, count: 0 }));
    return el("div", { className: "facet", role: "group", "aria-label": NAMES[field] ?? field },
      el("span", { className: "facet-name" }, NAMES[field] ?? field), ...chips([...missing, ...shown]),
      more.length ? el("details", {}, el("summary", {}, `${more.length} more`), el("div", { className: "facet-more" }, ...chips(more))) : null);
  }

  #chip(field, value, count, isChosen) {
    return el("button", { type: "button", className: "chip", "aria-pressed": String(isChosen), "data-value": JSON.stringify([field, value]), onclick: () => this.onToggle(field, value) },
      el("span", {}, String(value)), el("small", {}, format.format(count)));
  }
}

/** Whether a choice among the values divides the images: not where all have one value, or each its own. */
function isUseful({ values }, chosen = []) {
  return chosen.length > 0 || (values.filter(({ value }) => isPlain(value)).length > 1 && Number(values[0].count) > 1);
}
