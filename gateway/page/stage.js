// The image of a part with its boxes: detected objects to choose from, and boxes that people draw.

import * as api from "./api.js";
import { between, DrawnBox, isLarge, isSame, pointIn } from "./drawn-box.js";
import { announce, byId, count, el, position } from "./elements.js";

// In normalized coordinates.
const EDGE = 0.12;
const FIRST_BOX = { x_min: 0.3, y_min: 0.3, x_max: 0.7, y_max: 0.7 };

const percent = (score) => (score ? ` ${Math.round(score * 100)} %` : "");
const area = (box) => (box.x_max - box.x_min) * (box.y_max - box.y_min);

export class Stage {
  /** `onChoose(part)` is called when people chose what to look for in a part. */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.boxes = byId("boxes");
    this.chips = byId("chips");
    this.preview = byId("preview");
    this.preview.addEventListener("load", () => {
      byId("stage").style.setProperty("--ratio", this.preview.naturalWidth / this.preview.naturalHeight);
    });
    this.preview.addEventListener("error", () => byId("stage").classList.add("unseeable"));
    this.boxes.addEventListener("pointerdown", (event) => this.#startDrag(event));
    byId("find-objects").addEventListener("click", () => this.#detect());
    byId("add-box").addEventListener("click", () => {
      this.isAddedByKey = true;
      this.#add(FIRST_BOX);
    });
    for (const radio of document.querySelectorAll("#match-field input")) {
      radio.addEventListener("change", () => this.#change({ match: radio.value }));
    }
  }

  /** Shows a part; it may stand for several regions where `mayBeWide`. */
  show(part, { comparesObjects, detector, mayBeWide }) {
    const isNew = this.part !== part;
    Object.assign(this, { part, comparesObjects, detector, mayBeWide });
    if (isNew) {
      this.detecting?.abort();
      byId("stage").classList.remove("unseeable");
      this.preview.src = part.url;
      this.#hint("");
    }
    this.#paint();
  }

  #paint() {
    const { part } = this;
    const detections = part.detections ?? [];
    const focused = this.boxes.contains(document.activeElement) ? document.activeElement.dataset.box : null;
    const focusedChip = [...this.chips.children].indexOf(document.activeElement);
    const isStoredWhole = part.kind === "stored" && this.comparesObjects;
    const isEvery = !part.boxes.length && (part.every || isStoredWhole);
    const chips = [];
    if (this.comparesObjects && (this.mayBeWide || isEvery)) chips.push(chip("Every object", isEvery, () => this.#change({ boxes: [], every: !isStoredWhole })));
    if (!isStoredWhole) chips.push(chip("Whole image", !part.boxes.length && !part.every, () => this.#change({ boxes: [], every: false })));
    for (const found of detections) chips.push(this.#detectionChip(found));
    const drawn = part.boxes.filter((box) => !detections.some((found) => isSame(found.box, box)));
    chips.push(...drawn.map((box, order) => chip(`Box ${order + 1} ×`, true, () => this.#remove(box), "Remove this box")));
    this.chips.replaceChildren(...chips);
    // The largest first, so that a small box inside a large one can still be clicked.
    const found = detections.toSorted((one, other) => area(other.box) - area(one.box));
    this.boxes.replaceChildren(...found.map((each) => this.#detectionBox(each)), ...drawn.map((box, order) => this.#drawnBox(box, order)));
    this.boxes.classList.toggle("has-choice", part.boxes.length > 0);
    byId("find-objects").hidden = this.detector === null || detections.length > 0;
    byId("match-field").hidden = !(part.boxes.length > 1 || isEvery);
    for (const radio of document.querySelectorAll("#match-field input")) radio.checked = radio.value === part.match;
    if (focused) this.boxes.querySelector(`[data-box="${focused}"]`)?.focus();
    if (this.isAddedByKey) this.boxes.querySelector(".custom:last-child")?.focus();
    this.isAddedByKey = false;
    if (focusedChip >= 0) (this.chips.children[focusedChip] ?? this.chips.lastChild).focus();
  }

  #isChosen(box) {
    return this.part.boxes.some((each) => isSame(each, box));
  }

  #detectionChip(found) {
    const node = chip(found.label || "object", this.#isChosen(found.box), () => this.#toggle(found.box));
    node.append(el("small", {}, percent(found.score)));
    // Several objects may have the same label: pointing at a chip highlights its box.
    const box = () => this.boxes.querySelector(`[data-box="${keyOf(found.box)}"]`);
    node.addEventListener("pointerenter", () => box()?.classList.add("pointed"));
    node.addEventListener("pointerleave", () => box()?.classList.remove("pointed"));
    return node;
  }

  #detectionBox({ box, label, score }) {
    const title = label || "object";
    const node = el("button", {
      type: "button", className: "box", title: `${title}${percent(score)}`, "data-box": keyOf(box), "aria-label": `Look for this ${title}`,
      "aria-pressed": String(this.#isChosen(box)), onclick: () => this.dragged || this.#toggle(box),
    }, el("span", {}, title));
    position(node, box);
    node.classList.toggle("at-top", box.y_min < EDGE);
    node.classList.toggle("at-right", box.x_max > 1 - EDGE);
    return node;
  }

  #drawnBox(box, order) {
    return new DrawnBox(box, {
      title: `Box ${order + 1}`,
      frame: this.boxes,
      onChange: (changed) => this.#change({ boxes: this.part.boxes.map((each) => (each === box ? changed : each)) }),
      onRemove: () => this.#remove(box),
    }).node;
  }

  #toggle(box) {
    if (this.#isChosen(box)) this.#remove(box);
    else this.#add(box);
  }

  /** Adds a box to those that are looked for; where one part alone may have several, it is the only one. */
  #add(box) {
    const { x_min, y_min, x_max, y_max } = box;
    this.#change({ boxes: [...(this.mayBeWide ? this.part.boxes : []), { x_min, y_min, x_max, y_max }], every: false });
  }

  #remove(box) {
    this.#change({ boxes: this.part.boxes.filter((each) => !isSame(each, box)) });
  }

  #change(changes) {
    Object.assign(this.part, changes);
    this.onChoose(this.part);
  }

  async #detect() {
    const { part, detector } = this;
    this.detecting?.abort();
    this.detecting = new AbortController();
    const { signal } = this.detecting;
    this.#hint("Looking for objects…");
    try {
      part.blob ??= await (await fetch(part.url)).blob();
      const { detections, warnings } = await api.detect(part.blob, { detector, signal });
      part.detections = detections;
      if (part !== this.part) return;
      const found = detections.length ? "" : "No object was recognised. Draw a box around what you look for.";
      this.#hint([found, ...warnings.map(api.sentence)].join(" ").trim());
      announce(`${count(detections.length, "object")} found in the image`);
      this.#paint();
    } catch (error) {
      if (error.name !== "AbortError") this.#hint(error.message);
    }
  }

  #hint(text) {
    byId("stage-hint").textContent = text || "Choose objects, or drag a box around what you look for.";
  }

  #startDrag(event) {
    if (event.button !== 0 || event.target.closest(".custom")) return;
    const start = pointIn(this.boxes, event);
    const drawn = el("div", { className: "box custom" });
    let box = null;
    const move = (at) => {
      box = between(start, pointIn(this.boxes, at));
      if (!isLarge(box)) return;
      this.dragged = true;
      if (!drawn.isConnected) this.boxes.append(drawn);
      position(drawn, box);
    };
    const end = () => {
      for (const kind of ["pointermove", "pointerup", "pointercancel"]) removeEventListener(kind, kind === "pointermove" ? move : end);
      drawn.remove();
      // The click that ends a drag on a box is not a choice of that box.
      setTimeout(() => (this.dragged = false));
      if (this.dragged && isLarge(box)) this.#add(box);
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }
}

const keyOf = (box) => [box.x_min, box.y_min, box.x_max, box.y_max].map((edge) => edge.toFixed(4)).join(" ");

const chip = (text, isPressed, onclick, title = "") =>
  el("button", { type: "button", className: "chip", "aria-pressed": String(isPressed), onclick, title }, text);
