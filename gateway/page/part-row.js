// One part of the query as a row: what it is, whether it draws near or pushes away, its weight, and a way to remove it.

import { el, icon } from "./elements.js";

export const WEIGHTS = { smallest: 0.1, largest: 2, step: 0.1 };

const TITLES = { image: "Your image", stored: "Stored image", sketch: "Your drawing" };

export const titleOf = (part) => (part.kind === "words" ? part.text : (part.name ?? TITLES[part.kind]));

/** `onOpen(part)` opens it for a change, `onWeight(part, weight)` and `onRemove(part)` change the query. */
export function partRow(part, { isOpen, isAlone, isWide, onOpen, onWeight, onRemove }) {
  const title = titleOf(part);
  const pushes = part.weight < 0;
  const open = el("button", { type: "button", className: "part-open", title: part.kind === "words" ? "Change these words" : "Choose what to look for in it", onclick: () => onOpen(part) },
    part.url ? el("img", { src: part.url, alt: "" }) : icon(part.kind === "words" ? "M5 6h14M12 6v13" : "M4 5h16v14H4z"),
    el("span", {}, title, part.kind === "words" ? null : el("small", {}, regionNote(part, isWide))));
  if (part.kind !== "words") open.setAttribute("aria-expanded", String(isOpen));
  const sign = el("button", {
    type: "button", className: "icon sign", "aria-pressed": String(pushes), "aria-label": `Less like ${title}`,
    title: isWide ? "Choose one object to push it away" : pushes ? "Results are unlike this" : "Results are like this",
    disabled: isWide && !pushes, onclick: () => onWeight(part, -part.weight),
  }, pushes ? "−" : "+");
  const remove = el("button", { type: "button", className: "icon", "aria-label": `Remove ${title}`, title: "Remove", onclick: () => onRemove(part) }, icon("m6 6 12 12M18 6 6 18"));
  return el("li", { className: pushes ? "part pushes" : "part" }, el("div", { className: "part-line" }, open, sign, remove), isAlone ? null : weight(part, title, onWeight));
}

function weight(part, title, onWeight) {
  const shown = el("output", {}, Math.abs(part.weight).toFixed(1));
  const slider = el("input", {
    type: "range", min: WEIGHTS.smallest, max: WEIGHTS.largest, step: WEIGHTS.step, value: Math.abs(part.weight), "aria-label": `Weight of ${title}`,
    oninput: () => (shown.textContent = Number(slider.value).toFixed(1)),
    onchange: () => onWeight(part, Math.sign(part.weight || 1) * Number(slider.value)),
  });
  return el("div", { className: "part-weight" }, slider, shown);
}

function regionNote(part, isWide) {
  const joined = part.match === "all" ? "all" : "any";
  if (part.boxes.length === 1) return "one part of it";
  if (part.boxes.length) return `${joined} of ${part.boxes.length} parts of it`;
  if (isWide) return `${joined} of its objects`;
  return part.weight < 0 ? "less like this" : "";
}
