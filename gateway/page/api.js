// The gateway's routes as functions; every failure is a Problem with one sentence for people.

const API = "/api/v1";

/** A problem document of the gateway (RFC 9457) as an error. */
export class Problem extends Error {
  constructor(status, detail, body = {}) {
    super(detail);
    this.status = status;
    this.body = body;
  }
}

const RETRY_MS = 300;
const delay = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Fetches; retries once after a lost connection where the request changes nothing. */
async function reach(path, options) {
  const isSafe = (options.method ?? "GET") === "GET" || /\/(search|detect)$/.test(path);
  for (let tries = isSafe ? 2 : 1; ; tries -= 1) {
    try {
      return await fetch(API + path, options);
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (tries === 1) throw new Problem(0, "The server cannot be reached. Is Fovea still running?");
      await delay(RETRY_MS);
    }
  }
}

async function request(path, options = {}) {
  const response = await reach(path, options);
  const isJson = response.status !== 204 && (response.headers.get("content-type") ?? "").includes("json");
  const body = isJson ? await response.json() : {};
  if (!response.ok) throw new Problem(response.status, sentence(body.detail ?? response.statusText), body);
  return body;
}

const json = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

// The filter's name is kept: without it people could not tell which of their inputs is wrong.
const FIELD = /^(?!filter:)[a-z_]+(\[\d+\])?(\.[a-z_]+)*: /;

/** A service's message as a sentence: without the name of the field, with a capital and a full stop. */
export function sentence(text) {
  const plain = text.replace(FIELD, "");
  const start = plain.charAt(0).toUpperCase() + plain.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}

const defaultFirst = (models) => models.toSorted((one, other) => other.is_default - one.is_default);

/** The models that are served, the default of each kind first. */
export async function capabilities() {
  const { encoders, detectors, processes } = await request("/encoders");
  return { encoders: defaultFirst(encoders), detectors: defaultFirst(detectors), processes };
}

export const collections = async () => (await request("/collections")).collections;
export const createCollection = (collection) => request("/collections", json(collection));
export const deleteCollection = (name) => request(`/collections/${name}`, { method: "DELETE" });

const imagePath = (collection, imageId) => `/collections/${collection}/images/${imageId}`;
export const image = (collection, imageId) => request(imagePath(collection, imageId));
export const deleteImage = (collection, imageId) => request(imagePath(collection, imageId), { method: "DELETE" });
export const thumbnailUrl = (collection, imageId, size) => `${API}${imagePath(collection, imageId)}/thumbnail?size=${size}`;
export const contentUrl = (collection, imageId) => `${API}${imagePath(collection, imageId)}/content`;

export function images(collection, { filter, limit, pageToken, signal }) {
  const query = new URLSearchParams({ filter, page_size: limit, page_token: pageToken });
  return request(`/collections/${collection}/images?${query}`, { signal });
}

/** A stored image at this size, so that a part of it can be searched for. */
export async function thumbnail(collection, imageId, size) {
  const response = await reach(`${imagePath(collection, imageId)}/thumbnail?size=${size}`, {});
  if (!response.ok) throw new Problem(response.status, "The image's file cannot be read.");
  return response.blob();
}

/** Searches; `body` is a whole request, or the token of the next page. */
export const search = (collection, body, signal) => request(`/collections/${collection}/search`, { ...json(body), signal });

/** Counts the values of fields among the images that match a filter. */
export function facets(collection, { fields, filter, signal }) {
  const query = new URLSearchParams([...fields.map((field) => ["field", field]), ["filter", filter]]);
  return request(`/collections/${collection}/facets?${query}`, { signal });
}

export function detect(blob, { detector, signal }) {
  const form = new FormData();
  form.set("image", blob, "query");
  form.set("detector", detector);
  return request("/detect", { method: "POST", body: form, signal });
}

/** Uploads one image under its file's name; a Problem says why it was not ingested. */
export async function upload(collection, file, signal) {
  const form = new FormData();
  form.set("images", file);
  form.set("metadata", JSON.stringify({ filename: file.name }));
  return (await request(`/collections/${collection}/images`, { method: "POST", body: form, signal })).results[0];
}

export const folders = async (path) => (await request(`/folders?${new URLSearchParams({ path })}`)).folders;
export const ingestFolder = (collection, options) => request(`/collections/${collection}/ingest`, json(options));
export const reindex = (collection, options) => request(`/collections/${collection}/reindex`, json(options));
export const scrub = (collection, options) => request(`/collections/${collection}/scrub`, json(options));
export const updateCollection = (name, changes) => request(`/collections/${name}`, { ...json(changes), method: "PATCH" });
export const jobs = async () => (await request("/jobs")).jobs;
export const cancelJob = (id) => request(`/jobs/${id}`, { method: "DELETE" });

/** The state of each service; also where some are not ready. */
export async function readiness() {
  const response = await reach("/readyz", {});
  return response.json();
}

/** Calls back with the job after each change, and at last in its final state. */
export function followJob(id, onChange) {
  const events = new EventSource(`${API}/jobs/${id}/events`);
  events.addEventListener("progress", (event) => onChange(JSON.parse(event.data)));
  events.addEventListener("final", (event) => {
    events.close();
    onChange(JSON.parse(event.data));
  });
  events.addEventListener("error", () => {
    // EventSource reconnects by itself, except where the gateway answers that it does not know the job.
    if (events.readyState === EventSource.CLOSED) {
      onChange({ id, state: "failed", detail: "The server lost track of this job.", lost: true });
    }
  });
}
