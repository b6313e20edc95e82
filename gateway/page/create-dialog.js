// The dialog for a new collection: its name, its encoder, and what is compared.

import * as api from "./api.js";
import { byId, closable, el } from "./elements.js";

const NAME = /^[a-z][a-z0-9_]{0,62}$/;

export class CreateDialog {
  /** `onCreated(collection)` is called with the new collection. */
  constructor(onCreated) {
    this.onCreated = onCreated;
    this.dialog = byId("create-dialog");
    closable(this.dialog);
    const form = byId("create-form");
    form.addEventListener("change", () => this.#showDetectors());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create(new FormData(form).get("mode"));
    });
  }

  /** Opens with the models that are served. */
  open({ encoders, detectors }) {
    const imageEncoders = encoders.filter((each) => each.modalities.includes("image"));
    byId("create-encoder").replaceChildren(...imageEncoders.map((each) =>
      el("option", { value: each.name }, `${each.name} (${each.dimension} dimensions, reads ${each.modalities.join(", ")})`)));
    byId("create-detector").replaceChildren(...detectors.map((each) => el("option", { value: each.name }, each.name)));
    const objects = this.dialog.querySelector("input[value=objects]");
    objects.disabled = !detectors.length;
    if (objects.disabled) this.dialog.querySelector("input[value=whole_image]").checked = true;
    objects.closest("label").title = detectors.length ? "" : "No detector is served.";
    byId("create-error").textContent = imageEncoders.length ? "" : "No encoder for images is served; start one first.";
    this.#showDetectors();
    this.dialog.showModal();
  }

  #showDetectors() {
    byId("create-detector-field").hidden = !this.dialog.querySelector("input[value=objects]").checked;
  }

  async #create(mode) {
    const name = byId("create-name").value.trim();
    if (!NAME.test(name)) {
      byId("create-error").textContent = "Use lower-case letters, digits and _, beginning with a letter.";
      byId("create-name").focus();
      return;
    }
    const collection = { name, mode, encoder: byId("create-encoder").value };
    if (mode === "objects") collection.detector = byId("create-detector").value;
    try {
      const created = await api.createCollection(collection);
      byId("create-name").value = "";
      this.dialog.close();
      this.onCreated(created);
    } catch (error) {
      byId("create-error").textContent = error.message;
    }
  }
}
