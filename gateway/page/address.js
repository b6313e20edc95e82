// The address of a query: #collection?words=red+car&weight=0.5&id=…&filter=…; what follows a content belongs to it.

import { EDGES, emptyQuery, MAX_PARTS, newPart } from "./query.js";

const CONTENTS = { words: ["words", "text"], id: ["stored", "id"], image: ["image", "key"], sketch: ["sketch", "key"] };

/** The fragment of the address; images and sketches of one's own are named, not contained. */
export function addressOf(collection, query) {
  const fields = new URLSearchParams();
  for (const part of query.parts) {
    const [name, [, content]] = Object.entries(CONTENTS).find(([, [kind]]) => kind === part.kind);
    fields.append(name, part[content]);
    if (part.weight !== 1) fields.append("weight", part.weight);
    for (const box of part.boxes) fields.append("box", EDGES.map((edge) => Number(box[edge].toFixed(4))).join(","));
    if (part.every) fields.append("objects", "every");
    if (part.match === "all") fields.append("match", "all");
  }
  if (query.filter) fields.append("filter", query.filter);
  for (const [field, values] of Object.entries(query.facets)) {
    for (const value of values) fields.append("only", JSON.stringify([field, value]));
  }
  if (query.grouped) fields.append("group", "duplicates");
  if (query.relevant) fields.append("relevance", "true");
  if (query.diversity) fields.append("diversity", query.diversity);
  const text = fields.toString();
  return text ? `#${collection}?${text}` : `#${collection}`;
}

/** The collection and the query of a fragment; what cannot be read in it is left out. */
export function readAddress(fragment) {
  const [name, ...rest] = fragment.replace(/^#/, "").split("?");
  const query = emptyQuery();
  for (const [field, value] of new URLSearchParams(rest.join("?"))) {
    if (Object.hasOwn(CONTENTS, field)) addPart(query, CONTENTS[field], value);
    else READERS[field]?.(query, value, query.parts.at(-1));
  }
  return { collection: decoded(name), query };
}

function addPart(query, [kind, content], value) {
  if (value && query.parts.length < MAX_PARTS) query.parts.push(newPart(kind, { [content]: value }));
}

const READERS = {
  weight: (_, value, part) => part && Number.isFinite(Number(value)) && (part.weight = Number(value)),
  box(_, value, part) {
    const edges = value.split(",").map(Number);
    const [left, top, right, bottom] = edges;
    const isBox = edges.length === 4 && left >= 0 && top >= 0 && left < right && top < bottom && right <= 1 && bottom <= 1;
    if (part && isBox) part.boxes.push(Object.fromEntries(EDGES.map((edge, position) => [edge, edges[position]])));
  },
  objects: (_, value, part) => part && (part.every = value === "every"),
  match: (_, value, part) => part && (part.match = value === "all" ? "all" : "any"),
  filter: (query, value) => (query.filter = value),
  group: (query) => (query.grouped = true),
  relevance: (query) => (query.relevant = true),
  diversity: (query, value) => (query.diversity = Math.min(1, Math.max(0, Number(value) || 0))),
  only(query, text) {
    try {
      const [field, value] = JSON.parse(text);
      if (typeof field === "string" && ["string", "number", "boolean"].includes(typeof value)) (query.facets[field] ??= []).push(value);
    } catch {
      // Not a choice of a value.
    }
  },
};

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return "";
  }
}
