// The dialog with one image: its facts, and actions on it.

import * as api from "./api.js";
import { confirmed } from "./confirm-dialog.js";
import { announce, byId, closable, count, el, position } from "./elements.js";
import { nameOf } from "./tile.js";

export class DetailsDialog {
  /** `onSimilar(hit)` searches for similar images, `onAdd(hit, weight)` adds it to the query, `onDeleted(imageId)` follows a deletion. */
  constructor({ results, onSimilar, onAdd, onDeleted }) {
    Object.assign(this, { results, onDeleted });
    this.dialog = byId("details-dialog");
    closable(this.dialog);
    const closing = (act) => () => {
      this.dialog.close();
      act(this.hit);
    };
    byId("details-similar").addEventListener("click", closing(onSimilar));
    byId("details-more").addEventListener("click", closing((hit) => onAdd(hit, 1)));
    byId("details-less").addEventListener("click", closing((hit) => onAdd(hit, -1)));
    byId("details-previous").addEventListener("click", () => this.#step(-1));
    byId("details-next").addEventListener("click", () => this.#step(1));
    byId("details-delete").addEventListener("click", () => this.#delete());
    this.dialog.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step) this.#step(step);
    });
    this.dialog.addEventListener("close", () => this.results.focus(this.hit));
  }

  /** Opens at once with the hit; adds the record when it arrives. */
  async open(collection, hit) {
    this.collection = collection;
    this.hit = hit;
    byId("details-title").textContent = nameOf(hit);
    byId("details-error").textContent = "";
    byId("details-open").href = api.contentUrl(collection, hit.image_id);
    byId("details-facts").replaceChildren(...facts(hit, null));
    this.#showImage(hit.matches?.length ? hit.matches.filter(({ region }) => region) : hit.region ? [{ region: hit.region }] : []);
    this.#showSteps();
    if (!this.dialog.open) this.dialog.showModal();
    try {
      const record = await api.image(collection, hit.image_id);
      if (this.hit !== hit) return;
      byId("details-facts").replaceChildren(...facts(hit, record));
    } catch (error) {
      if (this.hit === hit) byId("details-error").textContent = error.message;
    }
  }

  get #position() {
    return this.results.hits.indexOf(this.hit);
  }

  #showSteps() {
    byId("details-previous").disabled = this.#position <= 0;
    byId("details-next").disabled = this.#position === this.results.hits.length - 1 && !this.results.next;
  }

  async #step(step) {
    const position = this.#position + step;
    if (position === this.results.hits.length) await this.results.nextPage();
    const hit = this.results.hits[position];
    if (hit) this.open(this.collection, hit);
  }

  #showImage(regions) {
    const image = el("img", {
      src: api.thumbnailUrl(this.collection, this.hit.image_id, 1024),
      alt: nameOf(this.hit),
    });
    const frame = el("div", { className: "whole" }, image);
    image.addEventListener("error", () => {
      frame.replaceChildren(el("p", { className: "hint" }, "The image cannot be shown; its file may have been moved."));
    });
    for (const { region } of regions) {
      const box = el("span", { className: "match" });
      position(box, region);
      frame.append(box);
    }
    byId("details-image").replaceChildren(frame);
  }

  async #delete() {
    const { collection, hit } = this;
    const isSure = await confirmed({
      title: "Delete this image?",
      text: `${nameOf(hit)} will no longer be found in ${collection}. Its file stays where it is.`,
      yes: "Delete",
    });
    if (!isSure) return;
    try {
      await api.deleteImage(collection, hit.image_id);
    } catch (error) {
      byId("details-error").textContent = error.message;
      return;
    }
    this.dialog.close();
    announce(`${nameOf(hit)} was deleted`);
    this.onDeleted(hit.image_id);
  }
}

const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const onTheSpot = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" });

/** A camera's local time, which has no zone, as it was on the spot. */
function taken(text) {
  const date = new Date(`${text}Z`);
  return Number.isNaN(date.getTime()) ? text : onTheSpot.format(date);
}

/** Words with their counts: 2 × boat, 3 × balloon, dog. */
function tally(words) {
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].map(([word, times]) => (times > 1 ? `${times} × ${word}` : word)).join(", ");
}

/** The copies that the hit lists, and how many more there are. */
function copiesOf({ copies, copy_count: all }) {
  const more = all - copies.length;
  return [...copies, ...(more > 0 ? [`and ${count(more, "other")}`] : [])].join("\n");
}

/** Pairs of dt and dd: the hit, its record where it is known, and all metadata. */
function facts(hit, record) {
  const rows = [];
  if (hit.score !== undefined) rows.push(["Score", hit.score.toFixed(4)]);
  if (hit.confidence !== undefined) rows.push(["Confidence", `${Math.round(hit.confidence * 100)} %`]);
  if (hit.label) rows.push(["Object", hit.label]);
  if (record) {
    if (record.exif?.taken) rows.push(["Taken", taken(record.exif.taken)]);
    const camera = [record.exif?.camera, record.exif?.lens].filter(Boolean).join(", ");
    if (camera) rows.push(["Camera", camera]);
    rows.push(["Size", `${record.width_px} × ${record.height_px} px`]);
    const contents = tally(record.regions.map((region) => region.label).filter(Boolean));
    if (contents) rows.push(["Contains", contents]);
  }
  const { filename, ...metadata } = hit.metadata ?? {};
  for (const [name, value] of Object.entries(metadata)) {
    rows.push([name, typeof value === "object" ? JSON.stringify(value) : String(value)]);
  }
  rows.push(["Address", hit.uri]);
  if (hit.near_duplicates?.length) rows.push(["Nearly the same", hit.near_duplicates.map(({ uri }) => uri).join("\n")]);
  if (hit.copies?.length) rows.push(["Copies", copiesOf(hit)]);
  if (record) rows.push(["Added", when.format(new Date(record.update_time))]);
  rows.push(["Id", hit.image_id]);
  return rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
}
