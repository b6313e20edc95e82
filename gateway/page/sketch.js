// The drawing board: strokes on white, passed on as a PNG after a pause in the drawing.

import { announce, byId, count } from "./elements.js";

const PAUSE_MS = 350;
const PEN_PX = 5;

export class Sketch {
  /** `onChange(blob)` is called after each change; null when nothing is drawn. */
  constructor(onChange) {
    this.onChange = onChange;
    this.canvas = byId("board");
    this.pen = this.canvas.getContext("2d");
    this.strokes = [];
    this.version = 0;
    this.#paint();
    this.#listen();
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  /** Clears the board without calling `onChange`. */
  clear() {
    this.strokes = [];
    this.version += 1;
    clearTimeout(this.pause);
    this.#paint();
  }

  #listen() {
    const { canvas } = this;
    let stroke = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || stroke) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      clearTimeout(this.pause);
      stroke = [this.#at(event)];
      this.strokes.push(stroke);
      this.#paint();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!stroke) return;
      // A fast pointer makes several points between two frames.
      const events = event.getCoalescedEvents?.() ?? [];
      stroke.push(...(events.length ? events : [event]).map((each) => this.#at(each)));
      this.#paint();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (stroke) this.#changed();
        stroke = null;
      });
    }
    byId("board-undo").addEventListener("click", () => {
      this.strokes.pop();
      this.#paint();
      this.#changed();
      announce(`${count(this.strokes.length, "stroke")} left`);
    });
    byId("board-clear").addEventListener("click", () => {
      this.clear();
      this.onChange(null);
      announce("The drawing was cleared");
    });
  }

  #at({ clientX, clientY }) {
    const frame = this.canvas.getBoundingClientRect();
    return [
      ((clientX - frame.left) / frame.width) * this.canvas.width,
      ((clientY - frame.top) / frame.height) * this.canvas.height,
    ];
  }

  #paint() {
    const { canvas, pen } = this;
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(pen, { strokeStyle: "#111", lineWidth: PEN_PX, lineCap: "round", lineJoin: "round" });
    for (const [first, ...others] of this.strokes) {
      pen.beginPath();
      pen.moveTo(...first);
      // A dot is a stroke of one point.
      for (const point of others.length ? others : [first]) pen.lineTo(...point);
      pen.stroke();
    }
    for (const id of ["board-undo", "board-clear"]) byId(id).disabled = this.isEmpty;
    byId("board-hint").hidden = !this.isEmpty;
  }

  #changed() {
    clearTimeout(this.pause);
    this.version += 1;
    const { version } = this;
    this.pause = setTimeout(() => {
      if (this.isEmpty) this.onChange(null);
      else this.canvas.toBlob((blob) => version === this.version && this.onChange(blob), "image/png");
    }, PAUSE_MS);
  }
}
