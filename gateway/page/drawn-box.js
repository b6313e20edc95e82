// A box that people draw over an image: it is moved and resized with the pointer or the arrow keys.

import { el, position } from "./elements.js";

// In normalized coordinates.
const MIN_SIDE = 0.03;
const KEY_STEP = 0.02;
const KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const CORNERS = ["x_min y_min", "x_max y_min", "x_min y_max", "x_max y_max"];
const SAME = 5e-4;

export const isLarge = (box) => box.x_max - box.x_min >= MIN_SIDE && box.y_max - box.y_min >= MIN_SIDE;
export const isSame = (one, other) => Object.keys(one).every((edge) => Math.abs(one[edge] - other[edge]) < SAME);

const within = (value, low = 0, high = 1) => Math.min(high, Math.max(low, value));

/** Where a pointer is in a node, in normalized coordinates. */
export function pointIn(node, { clientX, clientY }) {
  const frame = node.getBoundingClientRect();
  return { x: within((clientX - frame.left) / frame.width), y: within((clientY - frame.top) / frame.height) };
}

export const between = (one, other) => ({
  x_min: Math.min(one.x, other.x),
  y_min: Math.min(one.y, other.y),
  x_max: Math.max(one.x, other.x),
  y_max: Math.max(one.y, other.y),
});

/** The box moved so far, or as far as the image reaches. */
function moved(box, x, y) {
  const [right, down] = [within(x, -box.x_min, 1 - box.x_max), within(y, -box.y_min, 1 - box.y_max)];
  return { x_min: box.x_min + right, y_min: box.y_min + down, x_max: box.x_max + right, y_max: box.y_max + down };
}

/** The box with a corner, "x_max y_max", moved so far. */
function resized(box, corner, x, y) {
  const [across, along] = corner.split(" ");
  const edges = { ...box, [across]: within(box[across] + x), [along]: within(box[along] + y) };
  return between({ x: edges.x_min, y: edges.y_min }, { x: edges.x_max, y: edges.y_max });
}

export class DrawnBox {
  /** `onChange(box)` is called when a move or a change of size ends. */
  constructor(box, { title, frame, onChange, onRemove }) {
    Object.assign(this, { box, frame, onChange, onRemove });
    this.node = el("button", {
      type: "button", className: "box custom", "data-box": title,
      "aria-label": `${title}: arrow keys move it, with Shift they change its size, Delete removes it`,
      onkeydown: (event) => this.#key(event),
      onpointerdown: (event) => this.#drag(event),
    }, ...CORNERS.map((corner) => el("i", { "data-corner": corner })));
    position(this.node, box);
  }

  #key(event) {
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.onRemove();
      return;
    }
    const step = KEYS[event.key]?.map((direction) => direction * KEY_STEP);
    if (!step) return;
    event.preventDefault();
    const changed = event.shiftKey ? resized(this.box, "x_max y_max", ...step) : moved(this.box, ...step);
    if (isLarge(changed)) this.onChange(changed);
  }

  #drag(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    this.node.setPointerCapture(event.pointerId);
    const { corner } = event.target.dataset;
    const start = pointIn(this.frame, event);
    let changed = null;
    const move = (at) => {
      const point = pointIn(this.frame, at);
      const [x, y] = [point.x - start.x, point.y - start.y];
      const box = corner ? resized(this.box, corner, x, y) : moved(this.box, x, y);
      if (!isLarge(box)) return;
      changed = box;
      position(this.node, box);
    };
    const end = () => {
      this.node.removeEventListener("pointermove", move);
      if (changed && !isSame(changed, this.box)) this.onChange(changed);
    };
    this.node.addEventListener("pointermove", move);
    this.node.addEventListener("pointerup", end, { once: true });
    this.node.addEventListener("pointercancel", end, { once: true });
  }
}
