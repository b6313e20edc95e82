// The query as a value: parts with weights, filter and options; and the search request that it becomes.

import * as api from "./api.js";

export const MAX_PARTS = 16;
export const EDGES = ["x_min", "y_min", "x_max", "y_max"];

const SENT_SIZE_PX = 1024;

/**
 * A part is of one kind: `words` with `text`; `stored` with the `id` of an image of the collection; `image` and `sketch` with a
 * `blob` that stays in this browser under `key`. `weight` is negative where the part pushes away. An image may have `boxes`
 * to use instead of the whole, or `every` of its objects; `match` says whether any or all of them have to be found.
 */
export const newPart = (kind, content) => ({ kind, weight: 1, boxes: [], every: false, match: "any", ...content });

export const emptyQuery = () => ({ parts: [], filter: "", facets: {}, grouped: false, diversity: 0, relevant: false });

export const isEmpty = ({ parts }) => !parts.length;

/** Whether the part stands for several regions; a query has at most one such part, and its weight is positive. */
export const isWide = (part, comparesObjects) =>
  part.every || part.boxes.length > 1 || (part.kind === "stored" && comparesObjects && !part.boxes.length);

/** The filter of the query: what people wrote, and the values that they chose. */
export function filterOf({ filter, facets }) {
  const chosen = Object.entries(facets).filter(([, values]) => values.length);
  const conditions = chosen.map(([field, values]) => `${fieldName(field)} in (${values.map(literal).join(", ")})`);
  if (filter && conditions.length) conditions.unshift(`(${filter})`);
  return conditions.length ? conditions.join(" and ") : filter;
}

const quoted = (text, quote) => `${quote}${text.replace(/[\\`"]/g, (each) => (each === quote || each === "\\" ? `\\${each}` : each))}${quote}`;
const literal = (value) => (typeof value === "string" ? quoted(value, '"') : String(value));
const fieldName = (field) => (field.startsWith("$") ? field : quoted(field, "`"));

/** The body of the search request; `contentOf(part)` gives an image as base64, or what stands for it. */
export async function requestOf(query, collection, contentOf = sentContent) {
  const parts = await Promise.all(query.parts.map((part) => requestPart(part, collection, contentOf)));
  const request = { parts };
  if (filterOf(query)) request.filter = filterOf(query);
  if (query.grouped) request.group_near_duplicates = true;
  if (query.relevant) request.relevance = true;
  if (query.diversity) request.diversity = query.diversity;
  return request;
}

async function requestPart(part, collection, contentOf) {
  const sent = part.weight === 1 ? {} : { weight: part.weight };
  if (part.kind === "words") return { text: part.text, ...sent };
  if (part.kind === "sketch") return { sketch: await contentOf(part, collection), ...sent };
  if (part.match === "all") sent.match = "REGION_MATCH_ALL";
  if (part.kind === "stored" && !part.boxes.length) return { image_id: part.id, ...sent };
  if (part.every) sent.detect = true;
  else if (part.boxes.length) sent.regions = part.boxes.map((box) => Object.fromEntries(EDGES.map((edge) => [edge, box[edge]])));
  return { image: await contentOf(part, collection), ...sent };
}

/** The image as base64; the bytes of a stored one are fetched, because a region of it is searched for. */
async function sentContent(part, collection) {
  part.blob ??= await api.thumbnail(collection.name, part.id, SENT_SIZE_PX);
  const bytes = new Uint8Array(await part.blob.arrayBuffer());
  let text = "";
  // A call takes a limited number of arguments.
  for (let start = 0; start < bytes.length; start += 0x8000) text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  return btoa(text);
}
