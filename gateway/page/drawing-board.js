// The drawing board: dark strokes on white, passed on as a PNG after a pause in the drawing.

import { announce, byId, count } from "./elements.js";

const PAUSE_MS = 350;
const BOARD_BUTTONS = ["undo", "redo", "clear"];
const ERASER = "#fff";
const PEN = "#111";

export class DrawingBoard {
  /** `onChange({blob, strokes})` is called after each change; the blob is null when nothing is drawn. */
  constructor(onChange) {
    this.onChange = onChange;
    this.canvas = byId("board");
    this.context = this.canvas.getContext("2d");
    this.strokes = [];
    this.undone = [];
    this.version = 0;
    this.#listenToPen();
    byId("board-undo").addEventListener("click", () => this.#take(this.strokes, this.undone));
    byId("board-redo").addEventListener("click", () => this.#take(this.undone, this.strokes));
    byId("board-clear").addEventListener("click", () => {
      this.strokes = [];
      this.#paint();
      this.#changed();
      announce("The drawing was cleared");
    });
    byId("board-close").addEventListener("click", () => (byId("board-field").hidden = true));
    byId("board-field").addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "z") this.#take(...(event.shiftKey ? [this.undone, this.strokes] : [this.strokes, this.undone]));
    });
  }

  /** Shows the board with these strokes, each `{points, width, isEraser}`. */
  show(strokes) {
    byId("board-field").hidden = false;
    this.version += 1;
    this.strokes = [...strokes];
    this.undone = [];
    this.#paint();
    byId("board-field").scrollIntoView({ block: "nearest" });
  }

  #listenToPen() {
    const { canvas } = this;
    let stroke = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || stroke) return;
      event.preventDefault();
      canvas.setPointerCapture(event.pointerId);
      clearTimeout(this.pause);
      stroke = { points: [this.#at(event)], width: Number(byId("board-width").value), isEraser: byId("board-eraser").checked };
      this.strokes.push(stroke);
      this.undone = [];
      this.#paint();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!stroke) return;
      // A fast pointer makes several points between two frames.
      const events = event.getCoalescedEvents?.() ?? [];
      stroke.points.push(...(events.length ? events : [event]).map((each) => this.#at(each)));
      this.#paint();
    });
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, () => {
        if (stroke) this.#changed();
        stroke = null;
      });
    }
  }

  #at({ clientX, clientY }) {
    const frame = this.canvas.getBoundingClientRect();
    return [
      Math.round(((clientX - frame.left) / frame.width) * this.canvas.width),
      Math.round(((clientY - frame.top) / frame.height) * this.canvas.height),
    ];
  }

  /** Moves the last stroke from one list to the other. */
  #take(from, to) {
    if (!from.length) return;
    to.push(from.pop());
    this.#paint();
    this.#changed();
    announce(count(this.strokes.length, "stroke"));
  }

  get #isEmpty() {
    return this.strokes.every(({ isEraser }) => isEraser);
  }

  #paint() {
    const { canvas, context } = this;
    context.fillStyle = ERASER;
    context.fillRect(0, 0, canvas.width, canvas.height);
    Object.assign(context, { lineCap: "round", lineJoin: "round" });
    for (const { points, width, isEraser } of this.strokes) {
      const [first, ...others] = points;
      Object.assign(context, { strokeStyle: isEraser ? ERASER : PEN, lineWidth: isEraser ? 4 * width : width });
      context.beginPath();
      context.moveTo(...first);
      // A dot is a stroke of one point.
      for (const point of others.length ? others : [first]) context.lineTo(...point);
      context.stroke();
    }
    const isUseful = { undo: this.strokes.length, redo: this.undone.length, clear: this.strokes.length };
    for (const name of BOARD_BUTTONS) byId(`board-${name}`).disabled = !isUseful[name];
    byId("board-hint").hidden = this.strokes.length > 0;
  }

  #changed() {
    clearTimeout(this.pause);
    this.version += 1;
    const { version } = this;
    this.pause = setTimeout(() => {
      const strokes = [...this.strokes];
      if (this.#isEmpty) this.onChange({ blob: null, strokes });
      else this.canvas.toBlob((blob) => version === this.version && this.onChange({ blob, strokes }), "image/png");
    }, PAUSE_MS);
  }
}
