// The dialog for a new collection: its name, its encoder, and what is compared.

import * as api from "./api.js";
import { byId, closable, count, el } from "./elements.js";

const NAME = /^[a-z][a-z0-9_]{0,62}$/;

const option = ({ name, is_default: isDefault }) => el("option", { value: name }, isDefault ? `${name} (default)` : name);

/** What a model says of itself, as far as it does. */
function described({ purpose, domain, license }, abilities) {
  const madeFor = domain ? `Made for ${domain}.` : "";
  return [purpose, madeFor, abilities, license ? `Licence: ${license}.` : ""].filter(Boolean).join(" ");
}

export class CreateDialog {
  /** `onCreated(collection)` is called with the new collection. */
  constructor(onCreated) {
    this.onCreated = onCreated;
    this.dialog = byId("create-dialog");
    closable(this.dialog);
    const form = byId("create-form");
    form.addEventListener("change", () => this.#showChoices());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create(new FormData(form).get("mode"));
    });
  }

  /** Opens with the models that are served; the first of each kind is proposed. */
  open({ encoders, detectors }) {
    const imageEncoders = encoders.filter((each) => each.modalities.includes("image"));
    this.encoders = encoders;
    this.detectors = detectors;
    byId("create-encoder").replaceChildren(...imageEncoders.map(option));
    byId("create-detector").replaceChildren(...detectors.map(option));
    const objects = this.dialog.querySelector("input[value=objects]");
    objects.disabled = !detectors.length;
    if (objects.disabled) this.dialog.querySelector("input[value=whole_image]").checked = true;
    objects.closest("label").title = detectors.length ? "" : "No detector is served.";
    byId("create-error").textContent = imageEncoders.length ? "" : "No encoder for images is served; start one first.";
    this.#showChoices();
    this.dialog.showModal();
  }

  #showChoices() {
    byId("create-detector-field").hidden = !this.dialog.querySelector("input[value=objects]").checked;
    const encoder = this.encoders.find((each) => each.name === byId("create-encoder").value);
    const detector = this.detectors.find((each) => each.name === byId("create-detector").value);
    byId("create-encoder-hint").textContent = encoder ? described(encoder, this.#searchedBy(encoder)) : "";
    byId("create-detector-hint").textContent = detector ? described(detector, `Knows ${count(detector.labels.length, "kind")} of objects.`) : "";
  }

  /** What a collection of an encoder can be searched with: all that any encoder embeds into its space. */
  #searchedBy({ space }) {
    const inSpace = this.encoders.filter((each) => each.space === space);
    const modalities = ["image", "sketch", "text"].filter((modality) => inSpace.some((each) => each.modalities.includes(modality)));
    const languages = [...new Set(inSpace.flatMap((each) => each.languages))];
    return `Searched by ${modalities.join(", ")}${languages.length ? ` (${languages.join(", ")})` : ""}.`;
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
