// Adding images: uploads from this device, and folders on the server with their progress.

import * as api from "./api.js";
import { byId, closable, count, droppable } from "./elements.js";
import { imagesIn, isImage } from "./dropped-files.js";
import { listFolders } from "./folder-choice.js";
import { followed, ProgressCard } from "./progress.js";

const UPLOADS_AT_ONCE = 3;

export class AddDialog {
  /** `onAdded(collection, isAtEnd)` is called now and then while images are ingested, and at the end. */
  constructor(onAdded) {
    this.onAdded = onAdded;
    this.dialog = byId("add-dialog");
    closable(this.dialog);
    byId("folder-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#ingest(byId("folder").value.trim());
    });
    for (const id of ["upload", "upload-folder"]) {
      byId(id).addEventListener("change", ({ target }) => {
        this.#upload([...target.files].filter(isImage));
        target.value = "";
      });
    }
    droppable(byId("upload-drop"), async (_, transfer) => this.#upload(await imagesIn(transfer)));
    byId("folder").addEventListener("change", () => listFolders(byId("folder").value.trim()));
    byId("folder-up").addEventListener("click", () => {
      const above = byId("folder").value.trim().replace(/\/?[^/]*\/?$/, "");
      byId("folder").value = above;
      listFolders(above);
    });
  }

  open(collection) {
    this.collection = collection;
    byId("add-title").textContent = `Add images to ${collection}`;
    byId("folder-error").textContent = "";
    listFolders(byId("folder").value.trim());
    this.dialog.showModal();
  }

  async #ingest(folder) {
    byId("folder-error").textContent = folder ? "" : "Enter the path of a folder on the server.";
    if (!folder) return;
    try {
      followed(await api.ingestFolder(this.collection, { folder, prune: byId("folder-prune").checked }), this.onAdded);
      this.dialog.close();
    } catch (error) {
      byId("folder-error").textContent = error.message;
    }
  }

  /** Uploads a few at a time, each in its own request, so that one bad image fails alone. */
  async #upload(files) {
    if (!files.length) {
      byId("folder-error").textContent = "There is no image in it.";
      return;
    }
    this.dialog.close();
    const { collection } = this;
    const stop = new AbortController();
    const started = performance.now();
    const job = { state: "running", phase: "ingesting", total: files.length, done: 0, failed: 0, added: 0, updated: 0, unchanged: 0, searched_for_objects: 0, without_objects: 0, failures: [], warnings: [], detail: "" };
    const card = new ProgressCard(`${count(files.length, "upload")} → ${collection}`, "", () => stop.abort());
    const show = (state) => {
      job.state = state;
      job.elapsed_s = (performance.now() - started) / 1000;
      job.rate = (job.done + job.failed) / Math.max(0.001, job.elapsed_s);
      card.show(job);
    };
    const waiting = [...files];
    const work = async () => {
      while (waiting.length && !stop.signal.aborted) {
        await uploadOne(job, collection, waiting.shift(), stop.signal);
        if (!stop.signal.aborted) show("running");
      }
    };
    show("running");
    await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, work));
    show(stop.signal.aborted ? "cancelled" : "done");
    this.onAdded(collection, true);
  }
}

/** Uploads one file and counts the result in the job. */
async function uploadOne(job, collection, file, signal) {
  try {
    const { status, warnings, object_count: objectCount } = await api.upload(collection, file, signal);
    job.warnings.push(...warnings.map((reason) => ({ reason, count: 1, uris: [file.name] })));
    job[status.replace("INGEST_STATUS_", "").toLowerCase()] += 1;
    if (objectCount !== undefined) job.searched_for_objects += 1;
    if (objectCount === 0) job.without_objects += 1;
    job.done += 1;
  } catch (error) {
    if (error.name === "AbortError") return;
    job.failed += 1;
    job.failures.push({ uri: file.name, reason: error.message });
  }
}
