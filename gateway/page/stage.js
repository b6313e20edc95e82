// The query image with its boxes: detected objects, and a box that people drag.

import { byId, el, position } from "./elements.js";

// In normalized coordinates.
const MIN_SIDE = 0.03;
const EDGE = 0.12;

const percent = (score) => `${Math.round(score * 100)} %`;

export class Stage {
  /** `onChoose({region, detect})` is called when people choose what to search for. */
  constructor(onChoose) {
    this.onChoose = onChoose;
    this.boxes = byId("boxes");
    this.chips = byId("chips");
    this.preview = byId("preview");
    this.url = null;
    this.preview.addEventListener("load", () => {
      byId("stage").style.setProperty("--ratio", this.preview.naturalWidth / this.preview.naturalHeight);
    });
    this.preview.addEventListener("error", () => byId("stage").classList.add("unseeable"));
    this.boxes.addEventListener("pointerdown", (event) => this.#startDrag(event));
  }

  /** Shows an image; until people choose, all its objects are searched for with `offerAll`, else the whole image. */
  show(blob, offerAll) {
    this.clear();
    this.offerAll = offerAll;
    this.url = URL.createObjectURL(blob);
    this.preview.src = this.url;
    this.setDetections([]);
  }

  clear() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.preview.removeAttribute("src");
    byId("stage").classList.remove("unseeable");
    this.boxes.replaceChildren();
    this.chips.replaceChildren();
  }

  /** Shows the objects that were detected. */
  setDetections(detections) {
    const custom = this.boxes.querySelector(".box.custom");
    const choices = [{ title: "Whole image", region: null, detect: false }];
    if (this.offerAll) choices.unshift({ title: "Every object", region: null, detect: true });
    for (const found of detections) {
      choices.push({ title: found.label || "object", score: found.score, region: found.box, detect: false });
    }
    this.chips.replaceChildren(...choices.map((choice) => this.#chip(choice)));
    // The largest first, so that a small box inside a large one can still be clicked.
    const withRegion = choices.filter((choice) => choice.region).sort((one, other) => area(other.region) - area(one.region));
    this.boxes.replaceChildren(...withRegion.map((choice) => this.#box(choice)));
    if (custom) this.boxes.append(custom);
    else this.#mark(choices[0]);
    for (const choice of choices) choice.chip.addEventListener("click", () => this.#choose(choice));
  }

  #chip(choice) {
    choice.chip = el("button", { type: "button", className: "chip", "aria-pressed": "false" }, choice.title);
    if (choice.score !== undefined) choice.chip.append(el("small", {}, percent(choice.score)));
    return choice.chip;
  }

  #box(choice) {
    choice.box = el("button", {
      type: "button",
      className: "box",
      title: `${choice.title} ${percent(choice.score)}`,
      "aria-label": `Look for this ${choice.title}`,
      "aria-pressed": "false",
      onclick: () => this.#choose(choice),
    }, el("span", {}, choice.title));
    position(choice.box, choice.region);
    choice.box.classList.toggle("at-top", choice.region.y_min < EDGE);
    choice.box.classList.toggle("at-right", choice.region.x_max > 1 - EDGE);
    // Several objects may have the same label: pointing at a chip highlights its box.
    choice.chip.addEventListener("pointerenter", () => choice.box.classList.add("pointed"));
    choice.chip.addEventListener("pointerleave", () => choice.box.classList.remove("pointed"));
    return choice.box;
  }

  #choose(choice) {
    if (this.dragged) return;
    this.boxes.querySelector(".box.custom")?.remove();
    this.#mark(choice);
    this.onChoose({ region: choice.region, detect: choice.detect });
  }

  #mark(choice) {
    for (const node of document.querySelectorAll("#chips .chip, #boxes .box")) {
      node.setAttribute("aria-pressed", String(node === choice?.chip || node === choice?.box));
    }
  }

  #startDrag(event) {
    if (event.button !== 0) return;
    const frame = this.boxes.getBoundingClientRect();
    const pointOf = (at) => ({
      x: Math.min(1, Math.max(0, (at.clientX - frame.left) / frame.width)),
      y: Math.min(1, Math.max(0, (at.clientY - frame.top) / frame.height)),
    });
    const start = pointOf(event);
    let drawn = null;
    let region = null;
    const move = (at) => {
      region = between(start, pointOf(at));
      if (!drawn && !isLarge(region)) return;
      if (!drawn) {
        this.boxes.querySelector(".box.custom")?.remove();
        drawn = el("div", { className: "box custom" });
        this.boxes.append(drawn);
        this.dragged = true;
      }
      position(drawn, region);
    };
    const end = () => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      // The click that ends a drag on a box is not a choice of that box.
      setTimeout(() => (this.dragged = false));
      if (!drawn) return;
      if (!isLarge(region)) return drawn.remove();
      this.#mark(null);
      this.onChoose({ region, detect: false });
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }
}

const area = (box) => (box.x_max - box.x_min) * (box.y_max - box.y_min);

const isLarge = (box) => box.x_max - box.x_min >= MIN_SIDE && box.y_max - box.y_min >= MIN_SIDE;

const between = (one, other) => ({
  x_min: Math.min(one.x, other.x),
  y_min: Math.min(one.y, other.y),
  x_max: Math.max(one.x, other.x),
  y_max: Math.max(one.y, other.y),
});
