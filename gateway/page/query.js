// The query panel: a picture, a part of it, words, a sketch, and how they count.

import * as api from "./api.js";
import { announce, byId, count, droppable } from "./elements.js";
import { Sketch } from "./sketch.js";
import { Stage } from "./stage.js";

const WORDS_PAUSE_MS = 400;

export class QueryPanel {
  /** `onChange(query)` is called with every new query; null when there is none. */
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

  /** Says what the chosen collection can be asked. */
  setCollection({ collection, hasText, hasSketch, detector }) {
    const isNew = this.collection?.name !== collection.name;
    this.collection = collection;
    this.detector = detector;
    byId("words-form").hidden = !hasText;
    byId("sketch-field").hidden = !hasSketch;
    byId("query-title").textContent = hasText || hasSketch ? "Find pictures" : "Find pictures like…";
    if (isNew) this.clear();
  }

  /** Looks for a picture from this device. */
  usePicture(blob) {
    this.picture = { blob };
    this.#showPicture(blob);
    this.#update(this.#wholly());
  }

  /** Looks for a stored picture; its bytes are fetched so that a part of it can be chosen too. */
  async useStored(imageId) {
    this.picture = { imageId };
    this.stage.clear();
    this.#update(this.#wholly());
    const { picture, collection } = this;
    const blob = await api.content(collection.name, imageId).catch(() => null);
    if (this.picture !== picture || !blob) return;
    this.picture.blob = blob;
    this.#showPicture(blob);
  }

  clear() {
    this.detecting.abort();
    this.#reset();
    this.stage.clear();
    this.board.clear();
    byId("words").value = "";
    byId("picture").value = "";
    this.#update({});
  }

  #reset() {
    this.picture = null;
    this.sketch = null;
    this.choice = { region: null, detect: false };
  }

  /** What is looked for before people choose: every object where objects are compared, else the whole picture. */
  #wholly() {
    const comparesObjects = this.collection.mode === "COLLECTION_MODE_OBJECTS";
    return { region: null, detect: comparesObjects && this.detector !== null };
  }

  #listen() {
    const isReady = () => !byId("query").hidden && !document.querySelector("dialog[open]");
    const takeFirst = (files) => files[0] && isReady() && this.usePicture(files[0]);
    const input = byId("picture");
    input.addEventListener("change", () => takeFirst([...input.files]));
    // Anywhere on the page, also where a browser would leave it to show the file.
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
      byId("picture").focus();
    });
    let pause = 0;
    byId("words").addEventListener("input", () => {
      clearTimeout(pause);
      pause = setTimeout(() => this.#update({}), WORDS_PAUSE_MS);
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

  #showPicture(blob) {
    this.stage.show(blob, this.#wholly().detect);
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
      announce(`${count(detections.length, "object")} found in your picture`);
    } catch (error) {
      // The search itself goes on without boxes, and says what is wrong with the picture if that is it.
      if (error.name !== "AbortError") byId("stage-hint").textContent = "Drag a box around what you look for.";
    }
  }

  #update(choice) {
    this.choice = { ...this.choice, ...choice };
    const words = byId("words-form").hidden ? "" : byId("words").value.trim();
    byId("drop").hidden = Boolean(this.picture);
    byId("chosen").hidden = !this.picture;
    byId("balance-field").hidden = !((this.picture || this.sketch) && words);
    byId("balance-seen").textContent = this.picture ? "More picture" : "More sketch";
    this.onChange(this.#query(words));
  }

  #query(words) {
    const query = { filter: byId("filter").value.trim(), limit: Number(byId("limit").value), words };
    query.isEmpty = !this.picture && !this.sketch && !words;
    if (this.sketch) query.sketch = this.sketch;
    if (this.picture) Object.assign(query, this.#pictureQuery(), { sourceId: this.picture.imageId });
    if (words && (this.picture || this.sketch)) query.weights = this.#weights(query);
    return query;
  }

  #pictureQuery() {
    const { region, detect } = this.choice;
    // A stored picture is looked for by its id; only for a choice within it are its bytes sent.
    const isStored = this.picture.imageId && !region && detect === this.#wholly().detect;
    return isStored ? { imageId: this.picture.imageId } : { blob: this.picture.blob, region, detect };
  }

  /** Words have the balance's share, what is seen has the rest. */
  #weights({ imageId, sketch }) {
    const share = Number(byId("balance").value);
    const seen = [...(this.picture ? [imageId ? "image_id" : "image"] : []), ...(sketch ? ["sketch"] : [])];
    return { text: share, ...Object.fromEntries(seen.map((part) => [part, (1 - share) / seen.length])) };
  }
}
