// The images that are selected in the results, and the bar with what can be done with them.

import * as api from "./api.js";
import { confirmed } from "./confirm-dialog.js";
import { announce, byId, count } from "./elements.js";

const DELETIONS_AT_ONCE = 4;

export class Selection {
  /** `onDelete(imageIds)` is called after images were deleted. */
  constructor({ results, onDelete }) {
    this.results = results;
    this.onDelete = onDelete;
    this.hits = new Map();
    byId("selection-clear").addEventListener("click", () => this.clear());
    byId("selection-delete").addEventListener("click", () => this.#delete());
    byId("selection-compare").addEventListener("click", async () => {
      const { compare } = await import("./compare-dialog.js");
      compare(results.collection, [...this.hits.values()]);
    });
  }

  has({ image_id: imageId }) {
    return this.hits.has(imageId);
  }

  set(hit, isSelected) {
    if (isSelected) this.hits.set(hit.image_id, hit);
    else this.hits.delete(hit.image_id);
    this.#paint();
  }

  clear() {
    if (!this.hits.size) return;
    this.hits.clear();
    this.#paint();
  }

  #paint() {
    const { size } = this.hits;
    byId("selection").hidden = !size;
    byId("selection-count").textContent = `${size} selected`;
    byId("selection-compare").disabled = size !== 2;
    byId("selection-compare").title = size === 2 ? "" : "Select two images to compare them";
    byId("grid").classList.toggle("selecting", size > 0);
    for (const node of byId("grid").children) {
      const box = node.querySelector(".tile-select input");
      if (box) box.checked = this.hits.has(node.dataset.id);
    }
  }

  async #delete() {
    const { collection } = this.results;
    const imageIds = [...this.hits.keys()];
    const isSure = await confirmed({
      title: `Delete ${count(imageIds.length, "image")}?`,
      text: `They will no longer be found in ${collection}. Their files stay where they are.`,
      yes: "Delete",
    });
    if (!isSure) return;
    const waiting = [...imageIds];
    const deleted = [];
    let problem = "";
    const work = async () => {
      while (waiting.length) {
        const imageId = waiting.shift();
        await api.deleteImage(collection, imageId).then(() => deleted.push(imageId), (error) => (problem = error.message));
      }
    };
    await Promise.all(Array.from({ length: DELETIONS_AT_ONCE }, work));
    this.onDelete(deleted);
    announce(`${count(deleted.length, "image")} deleted`);
    if (problem) byId("more-error").textContent = `${count(imageIds.length - deleted.length, "image")} could not be deleted. ${problem}`;
  }
}
