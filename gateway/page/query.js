// The query panel: an image or a region of it, words, a sketch, and their weights.

import * as api from "./api.js";
import { announce, byId, count, droppable } from "./elements.js";
import { Sketch } from "./sketch.js";
import { Stage } from "./stage.js";

const TYPING_PAUSE_MS = 400;

export class QueryPanel {
  /** `onChange(query)` is called with every new query; `query.isEmpty` where nothing is searched for. */
  constructor(onChange) {
    this.onChange = onChange;
    this.stage = new Stage((choice) => this.#update(choice));
    this.board = new Sketch((blob) => {
      this.sketch = blob;
      this.#update({});
    });
    this.#reset();
    this.detecting = new AbortController();
    this.#listen();
  }

  /** Shows the inputs that the collection can be searched with. */
  setCollection({ collection, hasText, hasSketch, detector }) {
    const isNew = this.collection?.name !== collection.name;
    this.collection = collection;
    this.detector = detector;
    byId("words-form").hidden = !hasText;
    byId("sketch-field").hidden = !hasSketch;
    byId("query-title").textContent = hasText || hasSketch ? "Find images" : "Find images like…";
    if (isNew) this.clear();
  }

  /** Searches for an image from this device. */
  useImage(blob) {
    this.image = { blob };
    this.#showImage(blob);
    this.#update(this.#defaultChoice());
  }

  /** Searches for a stored image; its bytes are fetched so that a region of it can be chosen too. */
  async useStored(imageId) {
    this.image = { imageId };
    this.stage.clear();
    this.#update(this.#defaultChoice());
    const { image, collection } = this;
    const blob = await api.content(collection.name, imageId).catch(() => null);
    if (this.image !== image || !blob) return;
    this.image.blob = blob;
    this.#showImage(blob);
  }

  clear() {
    this.detecting.abort();
    this.#reset();
    this.stage.clear();
    this.board.clear();
    byId("words").value = "";
    byId("image").value = "";
    this.#update({});
  }

  #reset() {
    this.image = null;
    this.sketch = null;
    this.choice = { region: null, detect: false };
  }

  /** The choice before people make one: every object where objects are compared, else the whole image. */
  #defaultChoice() {
    const comparesObjects = this.collection.mode === "COLLECTION_MODE_OBJECTS";
    return { region: null, detect: comparesObjects && this.detector !== null };
  }

  #listen() {
    const isReady = () => !byId("query").hidden && !document.querySelector("dialog[open]");
    const takeFirst = (files) => files[0] && isReady() && this.useImage(files[0]);
    const input = byId("image");
    input.addEventListener("change", () => takeFirst([...input.files]));
    // The whole page accepts files; elsewhere the browser would leave the page to show the file.
    droppable(document.documentElement, takeFirst);
    addEventListener("paste", (event) => {
      const file = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
      if (file) takeFirst([file]);
    });
    byId("replace").addEventListener("click", () => {
      input.value = "";
      input.click();
    });
    byId("clear").addEventListener("click", () => {
      this.clear();
      byId("image").focus();
    });
    let pause = 0;
    byId("words").addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => this.#update({}), TYPING_PAUSE_MS);
    });
    for (const form of [byId("words-form"), byId("options-form")]) {
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        clearTimeout(pause);
        this.#update({});
      });
    }
    for (const id of ["balance", "filter", "limit"]) byId(id).addEventListener("change", () => this.#update({}));
  }

  #showImage(blob) {
    this.stage.show(blob, this.#defaultChoice().detect);
    this.#detect(blob);
  }

  async #detect(blob) {
    this.detecting.abort();
    byId("stage-hint").textContent = "Drag a box around what you look for.";
    if (this.detector === null) return;
    this.detecting = new AbortController();
    const { signal } = this.detecting;
    byId("stage-hint").textContent = "Looking for objects…";
    try {
      const { detections, warnings } = await api.detect(blob, { detector: this.detector, signal });
      if (signal.aborted) return;
      this.stage.setDetections(detections);
      const hint = detections.length
        ? "Choose an object, or drag a box around one."
        : "No object was recognised. Drag a box around what you look for.";
      byId("stage-hint").textContent = [hint, ...warnings.map(api.sentence)].join(" ");
      announce(`${count(detections.length, "object")} found in your image`);
    } catch (error) {
      // The search runs without boxes; if the image itself is bad, its own error says so.
      if (error.name !== "AbortError") byId("stage-hint").textContent = "Drag a box around what you look for.";
    }
  }

  #update(choice) {
    this.choice = { ...this.choice, ...choice };
    const words = byId("words-form").hidden ? "" : byId("words").value.trim();
    byId("drop").hidden = Boolean(this.image);
    byId("chosen").hidden = !this.image;
    byId("balance-field").hidden = !((this.image || this.sketch) && words);
    byId("balance-seen").textContent = this.image ? "More image" : "More sketch";
    this.onChange(this.#query(words));
  }

  #query(words) {
    const query = { filter: byId("filter").value.trim(), limit: Number(byId("limit").value), words };
    query.isEmpty = !this.image && !this.sketch && !words;
    if (this.sketch) query.sketch = this.sketch;
    if (this.image) Object.assign(query, this.#imageQuery(), { sourceId: this.image.imageId });
    if (words && (this.image || this.sketch)) query.weights = this.#weights(query);
    return query;
  }

  #imageQuery() {
    const { region, detect } = this.choice;
    // A stored image is searched by its id; its bytes are sent only for a choice within it.
    const isStored = this.image.imageId && !region && detect === this.#defaultChoice().detect;
    return isStored ? { imageId: this.image.imageId } : { blob: this.image.blob, region, detect };
  }

  /** The balance is the weight of the words; image and sketch share the rest. */
  #weights({ imageId, sketch }) {
    const balance = Number(byId("balance").value);
    const seen = [...(this.image ? [imageId ? "image_id" : "image"] : []), ...(sketch ? ["sketch"] : [])];
    return { text: balance, ...Object.fromEntries(seen.map((part) => [part, (1 - balance) / seen.length])) };
  }
}
