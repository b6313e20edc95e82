// The page: the current collection and query, kept in the address, and the wiring of the parts.

import { readAddress, addressOf } from "./address.js";
import * as api from "./api.js";
import { Composer } from "./composer.js";
import { announce, byId, count, el } from "./elements.js";
import { Facets } from "./facets.js";
import { listingOf, titleOf } from "./listing.js";
import { isEmpty } from "./query.js";
import { Results } from "./results.js";
import { Suggestion } from "./suggestion.js";
import { nameOf } from "./tile.js";

class Page {
  constructor() {
    this.collections = [];
    this.served = { encoders: [], detectors: [] };
    this.current = null;
    this.running = new AbortController();
    this.dialogs = new Map();
    const onAdd = (hit, weight) => this.composer.addStored(hit, nameOf(hit), weight);
    const onDeleted = (imageIds) => this.results.remove(imageIds);
    this.results = new Results({ onOpen: (hit) => this.#openDetails(hit), onAdd, onDelete: onDeleted });
    this.facets = new Facets((field, value) => this.composer.toggleFacet(field, value));
    this.suggestion = new Suggestion((job) => this.#follow(job));
    this.composer = new Composer((_, how) => {
      this.#remember(how);
      if (this.current) this.#run();
    });
    this.handlers = { onAdd, onDeleted: (imageId) => onDeleted([imageId]), onSimilar: (hit) => this.#searchSimilar(hit) };
    this.#listen();
  }

  async start() {
    this.results.showLoading();
    await this.#refresh(readAddress(location.hash).collection);
    const jobs = await api.jobs().catch(() => []);
    for (const job of jobs) {
      if (job.state === "running") this.#follow(job);
    }
  }

  /** A dialog is loaded when it is first opened. */
  async #dialog(file, make) {
    if (!this.dialogs.has(file)) this.dialogs.set(file, make(await import(file)));
    return this.dialogs.get(file);
  }

  async #openDetails(hit) {
    const dialog = await this.#dialog("./details-dialog.js", ({ DetailsDialog }) => new DetailsDialog({ results: this.results, ...this.handlers }));
    dialog.open(this.current.name, hit);
  }

  async #openAdd() {
    const dialog = await this.#dialog("./add-dialog.js", ({ AddDialog }) => new AddDialog((collection, isAtEnd) => this.#added(collection, isAtEnd)));
    dialog.open(this.current.name);
  }

  /** Shows the progress of a job, and what it changed. */
  async #follow(job) {
    const { followed } = await import("./progress.js");
    const isMove = job.kind === "reindex";
    if (isMove) this.suggestion.setMoving(job.collection, true);
    followed(job, (collection, isAtEnd) => {
      if (job.kind === "ingest") this.#added(collection, isAtEnd);
      else if (isAtEnd) {
        if (isMove) this.suggestion.setMoving(collection, false);
        this.#refresh(undefined, { isQuiet: true });
      }
    });
  }

  #listen() {
    byId("skip").addEventListener("click", (event) => {
      // The fragment of the address is the query's.
      event.preventDefault();
      (byId("grid").querySelector(".tile") ?? byId("results")).focus();
    });
    byId("collection").addEventListener("change", (event) => this.#choose(event.target.value));
    addEventListener("popstate", () => this.#readAddress());
    byId("new-collection").addEventListener("click", () => this.#create());
    byId("add").addEventListener("click", () => this.#openAdd());
    byId("change-collection").addEventListener("click", () => this.#change());
    byId("system").addEventListener("click", async () => (await import("./system-dialog.js")).showSystem());
    byId("copy-query").addEventListener("click", async () => {
      const { showCommand } = await import("./copy-dialog.js");
      showCommand(this.current, this.composer.query);
    });
    for (const format of ["csv", "json"]) {
      byId(`export-${format}`).addEventListener("click", async () => {
        const { save } = await import("./exports.js");
        const { selection, hits } = this.results;
        save(selection.hits.size ? [...selection.hits.values()] : hits, format, this.current.name);
        byId("tools").open = false;
      });
    }
    for (const kind of ["error", "unhandledrejection"]) addEventListener(kind, () => (byId("broken").hidden = false));
    byId("broken-reload").addEventListener("click", () => location.reload());
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
      el("option", { value: each.name }, each.counts_unknown ? titleOf(each) : `${titleOf(each)} · ${count(each.image_count, "image")}`)));
    if (known) await this.#show(known, { isQuiet });
    else this.#welcome();
  }

  /** Shows another collection, without a query. */
  #choose(name) {
    const known = this.collections.find((each) => each.name === name);
    if (!known || known.name === this.current?.name) return;
    history.pushState(null, "", `#${name}`);
    this.#show(known);
  }

  /** Shows what the address says: after back, forward, or a link. */
  #readAddress() {
    const { collection } = readAddress(location.hash);
    const known = this.collections.find((each) => each.name === collection);
    if (known) this.#show(known);
  }

  /** Keeps the query in the address; words that are typed on do not each get an entry of the history. */
  #remember({ isTyping = false } = {}) {
    const address = addressOf(this.current.name, this.composer.query);
    if (address === location.hash) return;
    if (isTyping && this.wasTyping) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    this.wasTyping = isTyping;
  }

  async #show(collection, { isQuiet = false } = {}) {
    const isNew = this.current?.name !== collection.name;
    this.current = collection;
    this.wasTyping = false;
    byId("collection").value = collection.name;
    const address = readAddress(location.hash);
    if (address.collection !== collection.name) history.replaceState(null, "", `#${collection.name}`);
    this.suggestion.show(collection, this.served.encoders);
    this.composer.setCollection({
      collection,
      hasText: this.#canRead("text", collection),
      hasSketch: this.#canRead("sketch", collection),
      detector: this.#detectorOf(collection),
    });
    if (isNew) this.facets.clear();
    const missing = await this.composer.show(readAddress(location.hash).query);
    byId("parts-note").textContent = missing
      ? "This link names an image that stays on the device where it was chosen; the rest is searched for."
      : "";
    this.#run({ isQuiet });
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
    } catch (error) {
      this.#showProblem(error, () => this.#create());
      return;
    }
    const dialog = await this.#dialog("./create-dialog.js", ({ CreateDialog }) => new CreateDialog((created) => this.#refresh(created.name)));
    dialog.open(this.served);
  }

  async #change() {
    const handlers = {
      onChanged: (name) => this.#refresh(name),
      onStarted: (job) => this.#follow(job),
      onDeleted: (name) => {
        announce(`${name} was deleted`);
        this.#refresh(null);
      },
    };
    const dialog = await this.#dialog("./collection-dialog.js", ({ CollectionDialog }) => new CollectionDialog(handlers));
    dialog.open(this.current, this.served.encoders);
  }

  /** Shows new images at the end, and the first ones as soon as there are some. */
  async #added(collection, isAtEnd) {
    if (collection !== this.current?.name) return;
    if (isAtEnd || !this.current.image_count) await this.#refresh(collection, { isQuiet: true });
  }

  #searchSimilar(hit) {
    this.composer.useStored(hit, nameOf(hit));
    scrollTo({ top: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    byId("results").focus({ preventScroll: true });
  }

  /** Runs the current query; one that still runs is aborted. */
  async #run({ isQuiet = false } = {}) {
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    const { current } = this;
    const { query } = this.composer;
    if (!isQuiet) this.results.showLoading();
    try {
      const listing = listingOf(current, query);
      const page = await listing.load("", signal);
      if (signal.aborted) return;
      const empty = current.image_count || query.filter ? this.#nothingFound(query) : this.#emptyCollection();
      this.results.show({ ...listing, collection: current.name, empty, signal }, page);
      this.composer.showRegions(page.regions);
      this.facets.show(current.name, query, page.hits);
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

  #emptyCollection() {
    return {
      title: `${titleOf(this.current)} is empty`,
      text: "Add a folder of images, or upload a few.",
      actions: [["Add images", () => this.#openAdd()]],
    };
  }

  #nothingFound(query) {
    if (query.relevant && !isEmpty(query)) {
      return {
        title: "Nothing here looks like that",
        text: "No image stands out from the others.",
        actions: [["Show the nearest", () => this.composer.showAll()]],
      };
    }
    return { title: "Nothing found", text: isEmpty(query) ? "No image matches this filter." : "Try another image, another part of it, or a wider filter." };
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

/** Whether the same request may succeed later: not where the request itself is wrong. */
const isRetryable = ({ status }) => status === 0 || status === 429 || status >= 500;

new Page().start();
