// The page: the current collection, and the wiring of query, results and dialogs.

import { AddDialog } from "./add-dialog.js";
import * as api from "./api.js";
import { confirmed } from "./confirm-dialog.js";
import { CreateDialog } from "./create-dialog.js";
import { DetailsDialog } from "./details-dialog.js";
import { announce, byId, count, el } from "./elements.js";
import { followed } from "./progress.js";
import { QueryPanel } from "./query.js";
import { Results } from "./results.js";
import { Suggestion } from "./suggestion.js";

const OBJECTS = "COLLECTION_MODE_OBJECTS";

class Page {
  constructor() {
    this.collections = [];
    this.served = { encoders: [], detectors: [] };
    this.current = null;
    this.query = { isEmpty: true, filter: "", limit: 24 };
    this.running = new AbortController();
    this.results = new Results({ onOpen: (hit) => this.detailsDialog.open(this.current.name, hit), onMore: () => this.#run({ isNextPage: true }) });
    this.detailsDialog = new DetailsDialog({
      onSimilar: (imageId) => this.#searchSimilar(imageId),
      onDeleted: () => this.#refresh(),
    });
    this.createDialog = new CreateDialog((created) => this.#refresh(created.name));
    this.addDialog = new AddDialog((collection, isAtEnd) => this.#added(collection, isAtEnd));
    this.suggestion = new Suggestion((job) => this.#follow(job));
    this.panel = new QueryPanel((query) => {
      this.query = query;
      if (this.current) this.#run();
    });
    this.#listen();
  }

  async start() {
    this.results.showLoading();
    await this.#refresh(named(location.hash));
    const jobs = await api.jobs().catch(() => []);
    for (const job of jobs) {
      if (job.state === "running") this.#follow(job);
    }
  }

  /** Shows the progress of a job, and what it changed. */
  #follow(job) {
    const isMove = job.kind === "reindex";
    if (isMove) this.suggestion.setMoving(job.collection, true);
    followed(job, (collection, isAtEnd) => {
      if (!isMove) this.#added(collection, isAtEnd);
      else if (isAtEnd) {
        this.suggestion.setMoving(collection, false);
        this.#refresh(undefined, { isQuiet: true });
      }
    });
  }

  #listen() {
    byId("collection").addEventListener("change", (event) => this.#choose(event.target.value));
    addEventListener("hashchange", () => this.#choose(named(location.hash)));
    byId("new-collection").addEventListener("click", () => this.#create());
    byId("add").addEventListener("click", () => this.addDialog.open(this.current.name));
    byId("delete-collection").addEventListener("click", () => this.#deleteCollection());
  }

  /** Reloads the collections and shows the one of this name, by default the one that is shown then, else the first. */
  async #refresh(name, { isQuiet = false } = {}) {
    try {
      [this.collections, this.served] = await Promise.all([api.collections(), api.capabilities()]);
    } catch (error) {
      this.#showProblem(error, () => this.#refresh(name));
      return;
    }
    const shown = name === undefined ? this.current?.name : name;
    const known = this.collections.find((each) => each.name === shown) ?? this.collections[0];
    byId("picker").hidden = !known;
    byId("query").hidden = !known;
    byId("add").disabled = !known;
    byId("suggestion").hidden = true;
    byId("collection").replaceChildren(...this.collections.map((each) =>
      el("option", { value: each.name }, `${titleOf(each)} · ${count(each.image_count, "image")}`)));
    if (known) this.#show(known, { isQuiet });
    else this.#welcome();
  }

  #choose(name) {
    const known = this.collections.find((each) => each.name === name);
    if (known && known.name !== this.current?.name) this.#show(known);
  }

  #show(collection, { isQuiet = false } = {}) {
    const isNew = this.current?.name !== collection.name;
    this.current = collection;
    byId("collection").value = collection.name;
    if (location.hash.slice(1) !== collection.name) history.replaceState(null, "", `#${collection.name}`);
    this.suggestion.show(collection, this.served.encoders);
    this.panel.setCollection({
      collection,
      hasText: this.#canRead("text", collection),
      hasSketch: this.#canRead("sketch", collection),
      detector: this.#detectorOf(collection),
    });
    // For a new collection the panel is cleared, which starts a search by itself.
    if (!isNew) this.#run({ isQuiet });
  }

  #canRead(modality, { space }) {
    return this.served.encoders.some((encoder) => encoder.space === space && encoder.modalities.includes(modality));
  }

  /** The detector for query images; null where none is served. */
  #detectorOf(collection) {
    const names = this.served.detectors.map(({ name }) => name);
    return names.includes(collection.detector) ? collection.detector : (names[0] ?? null);
  }

  #welcome() {
    this.current = null;
    this.results.showState({
      title: "Nothing to search yet",
      text: "A collection is a set of images that is searched together. Make one, then add a folder of images.",
      actions: [["New collection", () => this.#create()]],
    });
  }

  async #create() {
    try {
      this.served = await api.capabilities();
      this.createDialog.open(this.served);
    } catch (error) {
      this.#showProblem(error, () => this.#create());
    }
  }

  async #deleteCollection() {
    const { name, image_count: imageCount } = this.current;
    const isSure = await confirmed({
      title: `Delete ${name}?`,
      text: `The collection and everything stored about its ${count(imageCount, "image")} will be deleted. The image files stay where they are.`,
      yes: "Delete collection",
    });
    if (!isSure) return;
    try {
      await api.deleteCollection(name);
      announce(`${name} was deleted`);
      await this.#refresh(null);
    } catch (error) {
      this.#showProblem(error, () => this.#refresh());
    }
  }

  /** Shows new images at the end, and the first ones as soon as there are some. */
  async #added(collection, isAtEnd) {
    if (collection !== this.current?.name) return;
    if (isAtEnd || !this.current.image_count) await this.#refresh(collection, { isQuiet: true });
  }

  #searchSimilar(imageId) {
    this.panel.useStored(imageId);
    scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    byId("results").focus({ preventScroll: true });
  }

  /** Runs the current query, or gets its next page; a query that still runs is aborted. */
  async #run({ isNextPage = false, isQuiet = false } = {}) {
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    if (!isNextPage) {
      this.offset = 0;
      this.pageToken = "";
      if (!isQuiet) this.results.showLoading();
    }
    try {
      const answer = this.query.isEmpty ? await this.#browse(signal) : await this.#search(signal);
      if (!signal.aborted) this.results.show({ collection: this.current.name, isNextPage, ...answer });
    } catch (error) {
      const isDeleted = error.status === 404 && (await this.#isDeleted());
      if (signal.aborted) return;
      if (isDeleted) this.#showDeleted();
      else this.#showProblem(error, () => this.#run());
    }
  }

  /** Whether the current collection was deleted, perhaps by another client. */
  async #isDeleted() {
    const known = await api.collections().catch(() => this.collections);
    return !known.some(({ name }) => name === this.current.name);
  }

  #showDeleted() {
    this.results.showState({
      title: `${this.current.name} was deleted`,
      text: "The collection does not exist any more.",
      actions: [["Show what there is", () => this.#refresh(null)]],
      isError: true,
    });
  }

  async #browse(signal) {
    const { filter, limit } = this.query;
    const { images, next_page_token: next, warnings } = await api.images(this.current.name, { filter, limit, pageToken: this.pageToken, signal });
    this.pageToken = next;
    const kind = this.current.mode === OBJECTS ? `, ${count(this.current.region_count, "region")}` : "";
    return {
      hits: images,
      title: filter ? "Images that match" : `All of ${titleOf(this.current)}`,
      note: filter ? filter : count(this.current.image_count, "image") + kind,
      warnings,
      hasMore: Boolean(next),
      empty: filter ? this.#nothingMatches() : this.#emptyCollection(),
    };
  }

  async #search(signal) {
    const { limit } = this.query;
    const answer = await api.search(this.current.name, this.query, { limit, offset: this.offset, signal });
    const isFirst = this.offset === 0;
    this.offset += limit;
    return {
      // "More like this" leaves out the image itself.
      hits: answer.hits.filter((hit) => hit.image_id !== this.query.sourceId),
      title: "Best matches",
      note: isFirst ? `found in ${answer.timings.total_ms.toFixed(0)} ms` : `the first ${this.offset}`,
      warnings: answer.warnings,
      hasMore: answer.hits.length === limit,
      empty: this.current.image_count ? this.#nothingMatches() : this.#emptyCollection(),
    };
  }

  #emptyCollection() {
    return {
      title: `${titleOf(this.current)} is empty`,
      text: "Add a folder of images, or upload a few.",
      actions: [["Add images", () => this.addDialog.open(this.current.name)]],
    };
  }

  #nothingMatches() {
    return { title: "Nothing found", text: "Try another image, another part of it, or a wider filter.", actions: [] };
  }

  #showProblem(error, retry) {
    this.results.showState({
      title: error.status === 415 ? "This image cannot be read" : "That did not work",
      text: error.message,
      actions: isRetryable(error) ? [["Try again", retry]] : [],
      isError: true,
    });
  }
}

/** The collection after the # of an address; empty where it cannot be decoded. */
function named(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return "";
  }
}

const titleOf = ({ name, display_name: shown }) => shown || name;

/** Whether the same request may succeed later: not where the request itself is wrong. */
const isRetryable = ({ status }) => status === 0 || status === 429 || status >= 500;

new Page().start();
