// The panel that makes the query: parts as rows, words, images, the drawing board, and options.

import * as api from "./api.js";
import { announce, byId, droppable } from "./elements.js";
import { keep, own } from "./own-images.js";
import { partRow, titleOf } from "./part-row.js";
import { emptyQuery, isEmpty, isWide, MAX_PARTS, newPart } from "./query.js";

const TYPING_PAUSE_MS = 350;

export class Composer {
  /** `onChange(query, {isTyping})` is called with every change that people make. */
  constructor(onChange) {
    this.onChange = onChange;
    this.query = emptyQuery();
    this.draft = null;
    this.opened = null;
    this.#listen();
  }

  /** Shows what the collection can be searched with. */
  setCollection({ collection, hasText, hasSketch, detector }) {
    this.collection = collection;
    this.detector = detector;
    byId("words-form").hidden = !hasText;
    byId("draw").hidden = !hasSketch;
  }

  get comparesObjects() {
    return this.collection?.mode === "COLLECTION_MODE_OBJECTS";
  }

  /** Shows a query from an address; own images come from this browser. Returns how many are not there. */
  async show(query) {
    const isSame = (part) => this.query.parts.find((each) => each.kind === part.kind && (part.key ?? part.id ?? part.text) === (each.key ?? each.id ?? each.text));
    const parts = await Promise.all(query.parts.map(async (part) => {
      if (!part.key) return { ...isSame(part), ...part };
      const image = await own(part.key);
      return image ? { ...part, ...image } : null;
    }));
    this.query = { ...query, parts: parts.filter(Boolean) };
    this.draft = null;
    byId("words").value = "";
    byId("filter").value = query.filter;
    byId("grouped").checked = query.grouped;
    byId("relevant").checked = query.relevant;
    byId("diversity").value = query.diversity;
    if (query.filter || query.grouped || query.relevant || query.diversity) byId("options").open = true;
    this.opened = this.query.parts.findLast((part) => part.boxes.length || part.every) ?? null;
    this.#hideBoard();
    this.#paint();
    return parts.length - this.query.parts.length;
  }

  /** Adds an image from this device. */
  async addImage(file) {
    if (!this.#hasRoom()) return;
    const { scaled } = await import("./scaling.js");
    const blob = await scaled(file);
    const name = file.name || "Pasted image";
    const part = newPart("image", { blob, name, key: keep({ blob, name }), every: this.#mayBeWide() && this.comparesObjects && this.detector !== null });
    this.query.parts.push(part);
    this.opened = part;
    this.#changed();
  }

  /** Adds a stored image, or the region of it that was found; `weight` is negative for less like it. */
  addStored(hit, name, weight) {
    const known = this.query.parts.find((part) => part.kind === "stored" && part.id === hit.image_id);
    const boxes = this.comparesObjects && hit.region ? [hit.region] : [];
    if (known) Object.assign(known, { weight: weight * Math.abs(known.weight) });
    else if (!this.#hasRoom()) return;
    else this.query.parts.push(newPart("stored", { id: hit.image_id, name, weight, boxes }));
    announce(`${weight < 0 ? "Less" : "More"} like ${name}`);
    this.#changed();
  }

  /** Makes a stored image the whole query, its options stay. */
  useStored(hit, name) {
    const part = newPart("stored", { id: hit.image_id, name });
    this.query.parts = [part];
    this.opened = part;
    this.#forgetDraft();
    this.#changed();
  }

  clear() {
    this.query.parts = [];
    this.opened = null;
    this.#forgetDraft();
    this.#hideBoard();
    this.#changed();
  }

  /** Chooses or leaves a value of a field. */
  toggleFacet(field, value) {
    const values = this.query.facets[field] ?? [];
    this.query.facets[field] = values.includes(value) ? values.filter((each) => each !== value) : [...values, value];
    this.#changed();
  }

  /** Shows hits that do not stand out too. */
  showAll() {
    byId("relevant").checked = false;
    this.query.relevant = false;
    this.#changed();
  }

  /** Boxes of the objects that a search found in the query. */
  showRegions(regions) {
    const part = this.query.parts.find((each) => isWide(each, this.comparesObjects) && !each.boxes.length);
    if (!part || !regions.length) return;
    part.detections = regions;
    this.#showStage();
  }

  #mayBeWide(besides) {
    return !this.query.parts.some((part) => part !== besides && isWide(part, this.comparesObjects));
  }

  #hasRoom() {
    if (this.query.parts.length < MAX_PARTS) return true;
    byId("parts-note").textContent = `A query has at most ${MAX_PARTS} parts; remove one first.`;
    return false;
  }

  #listen() {
    const isReady = () => !byId("query").hidden && !document.querySelector("dialog[open]");
    const addAll = (files) => isReady() && files.reduce((before, file) => before.then(() => this.addImage(file)), Promise.resolve());
    for (const id of ["image", "camera"]) {
      byId(id).addEventListener("change", ({ target }) => {
        addAll([...target.files]);
        target.value = "";
      });
    }
    // The whole page accepts files; elsewhere the browser would leave the page to show the file.
    droppable(document.documentElement, addAll);
    addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])].filter((each) => each.type.startsWith("image/"));
      if (files.length) addAll(files);
    });
    byId("draw").addEventListener("click", () => this.#draw());
    byId("clear").addEventListener("click", () => {
      this.clear();
      byId("image").focus();
    });
    this.#listenToWords();
    byId("options-form").addEventListener("submit", (event) => event.preventDefault());
    for (const id of ["filter", "grouped", "relevant", "diversity"]) {
      byId(id).addEventListener("change", () => {
        this.query.filter = byId("filter").value.trim();
        this.query.grouped = byId("grouped").checked;
        this.query.relevant = byId("relevant").checked;
        this.query.diversity = Number(byId("diversity").value);
        this.#changed();
      });
    }
  }

  #listenToWords() {
    const words = byId("words");
    let pause = 0;
    words.addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => this.#typed(words.value.trim()), TYPING_PAUSE_MS);
    });
    byId("words-form").addEventListener("submit", (event) => {
      event.preventDefault();
      clearTimeout(pause);
      this.#typed(words.value.trim());
      this.#forgetDraft();
      this.#paint();
    });
  }

  /** Words are searched for while they are typed; Enter makes them a part that stays. */
  #typed(text) {
    if (text === (this.draft?.text ?? "")) return;
    const { parts } = this.query;
    if (!text) parts.splice(parts.indexOf(this.draft), 1);
    else if (this.draft) this.draft.text = text;
    else if (!this.#hasRoom()) return;
    else parts.push(this.draft = newPart("words", { text }));
    if (!text) this.draft = null;
    this.#changed({ isTyping: true });
  }

  #forgetDraft() {
    this.draft = null;
    byId("words").value = "";
  }

  /** Opens the drawing board, which is loaded when it is first used. */
  async #draw() {
    this.boardLoading ??= import("./drawing-board.js").then(({ DrawingBoard }) => new DrawingBoard((drawing) => this.#drawn(drawing)));
    const board = await this.boardLoading;
    this.opened = null;
    this.#paint();
    board.show(this.query.parts.find((part) => part.kind === "sketch")?.strokes ?? []);
  }

  /** Hides the board; what was drawn stays part of the query. */
  #hideBoard() {
    byId("board-field").hidden = true;
  }

  #drawn({ blob, strokes }) {
    const { parts } = this.query;
    const position = parts.findIndex((part) => part.kind === "sketch");
    if (position < 0 && (!blob || !this.#hasRoom())) return;
    const sketch = blob && { blob, strokes, name: "Your drawing" };
    const part = blob && newPart("sketch", { ...sketch, key: keep(sketch), weight: parts[position]?.weight ?? 1 });
    if (position < 0) parts.push(part);
    else parts.splice(position, 1, ...(part ? [part] : []));
    this.#changed();
  }

  #open(part) {
    this.opened = part && part === this.opened ? null : part;
    if (this.opened) this.#hideBoard();
    this.#paint();
  }

  #openRow(part) {
    if (part.kind === "sketch") return this.#draw();
    if (part.kind !== "words") return this.#open(part);
    this.draft = part;
    byId("words").value = part.text;
    byId("words").focus();
    this.#paint();
  }

  #chosen(part) {
    this.opened = part;
    this.#changed();
  }

  #changed(how = {}) {
    byId("parts-note").textContent = "";
    this.#paint();
    this.onChange(this.query, how);
  }

  #paint() {
    const { parts } = this.query;
    if (!parts.includes(this.opened)) this.opened = null;
    for (const part of parts) {
      if (part.blob && part.url === undefined) part.url = URL.createObjectURL(part.blob);
      if (part.kind === "stored") part.url ??= api.thumbnailUrl(this.collection.name, part.id, 1024);
    }
    const focused = [...byId("parts").querySelectorAll("button, input")].indexOf(document.activeElement);
    byId("parts").replaceChildren(...parts.filter((part) => part !== this.draft).map((part) => this.#row(part)));
    // Rows are made anew: whoever moves a slider with keys goes on with it.
    if (focused >= 0) byId("parts").querySelectorAll("button, input")[focused]?.focus();
    byId("drop").hidden = parts.length > 0;
    byId("clear").hidden = isEmpty(this.query);
    this.#showStage();
  }

  /** Shows the image of the opened part with its boxes; the stage is loaded when it is first used. */
  async #showStage() {
    const part = this.opened;
    byId("chosen").hidden = !part;
    if (!part) return;
    this.stageLoading ??= import("./stage.js").then(({ Stage }) => new Stage((chosen) => this.#chosen(chosen)));
    const stage = await this.stageLoading;
    if (part !== this.opened) return;
    stage.show(part, { comparesObjects: this.comparesObjects, detector: this.detector, mayBeWide: this.#mayBeWide(part) && part.weight > 0 });
  }

  #row(part) {
    return partRow(part, {
      isOpen: part === this.opened,
      isAlone: this.query.parts.length === 1,
      isWide: isWide(part, this.comparesObjects),
      onOpen: (each) => this.#openRow(each),
      onWeight: (each, weight) => {
        each.weight = weight;
        announce(`${titleOf(each)}: ${weight.toFixed(1)}`);
        this.#changed();
      },
      onRemove: (each) => {
        this.query.parts = this.query.parts.filter((other) => other !== each);
        if (each.kind === "sketch") this.#hideBoard();
        this.#changed();
        byId("parts").querySelector("button")?.focus();
      },
    });
  }
}
