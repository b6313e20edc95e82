// The dialog of one collection: its names, its encoder, its facts, and its end.

import * as api from "./api.js";
import { confirmed } from "./confirm-dialog.js";
import { byId, closable, count, el } from "./elements.js";
import { titleOf } from "./listing.js";

const when = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });

export class CollectionDialog {
  /** `onChanged(name)` follows a change of names, `onStarted(job)` the start of a job, `onDeleted(name)` a deletion. */
  constructor({ onChanged, onStarted, onDeleted }) {
    Object.assign(this, { onChanged, onStarted, onDeleted });
    this.dialog = byId("collection-dialog");
    closable(this.dialog);
    byId("collection-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#attempt(() => this.#save());
    });
    byId("move").addEventListener("click", () => this.#attempt(() => this.#start(api.reindex, { encoder: byId("move-encoder").value })));
    byId("move-back").addEventListener("click", () => this.#attempt(() => this.#start(api.reindex, { rollback: true })));
    byId("scrub").addEventListener("click", () => this.#attempt(() => this.#start(api.scrub, { repair: byId("scrub-repair").checked })));
    byId("delete-collection").addEventListener("click", () => this.#attempt(() => this.#delete()));
  }

  open(collection, encoders) {
    this.collection = collection;
    byId("collection-title").textContent = titleOf(collection);
    byId("collection-display-name").value = collection.display_name;
    byId("collection-name").value = collection.name;
    byId("collection-error").textContent = "";
    const own = encoders.find(({ name }) => name === collection.encoder);
    byId("collection-encoder").textContent = [`${collection.encoder}.`, own?.purpose].filter(Boolean).join(" ");
    const others = encoders.filter(({ modalities, space }) => modalities.includes("image") && space !== collection.space);
    byId("move-field").hidden = !others.length;
    byId("move-encoder").replaceChildren(...others.map(({ name, purpose }) => el("option", { value: name, title: purpose }, name)));
    byId("collection-facts").replaceChildren(...facts(collection));
    this.dialog.showModal();
  }

  async #attempt(act) {
    byId("collection-error").textContent = "";
    try {
      await act();
    } catch (error) {
      byId("collection-error").textContent = error.message;
    }
  }

  async #save() {
    const name = byId("collection-name").value.trim();
    const changes = { display_name: byId("collection-display-name").value.trim() };
    if (name !== this.collection.name) changes.name = name;
    const changed = await api.updateCollection(this.collection.name, changes);
    this.dialog.close();
    this.onChanged(changed.name);
  }

  async #start(job, options) {
    this.onStarted(await job(this.collection.name, options));
    this.dialog.close();
  }

  async #delete() {
    const { name, image_count: imageCount } = this.collection;
    const isSure = await confirmed({
      title: `Delete ${titleOf(this.collection)}?`,
      text: `The collection and everything stored about its ${count(imageCount, "image")} will be deleted. The image files stay where they are.`,
      yes: "Delete collection",
    });
    if (!isSure) return;
    await api.deleteCollection(name);
    this.dialog.close();
    this.onDeleted(name);
  }
}

function facts(collection) {
  const comparesObjects = collection.mode === "COLLECTION_MODE_OBJECTS";
  const counted = count(collection.image_count, "image") + (comparesObjects ? `, ${count(collection.region_count, "region")}` : "");
  const rows = [
    ["Holds", collection.counts_unknown ? "being counted" : counted],
    ["Compares", comparesObjects ? `objects that ${collection.detector} finds` : "whole images"],
    ["Index", collection.index],
    ["Created", when.format(new Date(collection.create_time))],
  ];
  return rows.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
}
