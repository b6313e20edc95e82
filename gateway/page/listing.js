// Where results come from: the images of a collection as they are, or a search, page by page.

import * as api from "./api.js";
import { count } from "./elements.js";
import { filterOf, isEmpty, requestOf } from "./query.js";

const PAGE_SIZE = 48;

export const titleOf = ({ name, display_name: shown }) => shown || name;

/** What the query lists: its title, and `load(token, signal)` for one page, whose `next` is the token of the one after. */
export function listingOf(collection, query) {
  return isEmpty(query) ? browse(collection, query) : search(collection, query);
}

function browse(collection, query) {
  const filter = filterOf(query);
  const without = Number(collection.without_objects_count) ? `, ${count(collection.without_objects_count, "image")} without an object` : "";
  const regions = collection.mode === "COLLECTION_MODE_OBJECTS" ? `, ${count(collection.region_count, "region")}${without}` : "";
  const counted = collection.counts_unknown ? "" : count(collection.image_count, "image") + regions;
  return {
    title: filter ? "Images that match" : `All of ${titleOf(collection)}`,
    async load(token, signal) {
      const { images, next_page_token: next, warnings } = await api.images(collection.name, { filter, limit: PAGE_SIZE, pageToken: token, signal });
      return { hits: images, next, warnings, note: filter || counted, regions: [] };
    },
  };
}

function search(collection, query) {
  // The image that more is asked of is not one of the answers.
  const [only, ...others] = query.parts;
  const own = !others.length && only.kind === "stored" && only.weight > 0 ? only.id : null;
  return {
    title: "Best matches",
    async load(token, signal) {
      // The token holds the query: it is sent and encoded once, however far one scrolls.
      const body = token ? { page_token: token } : await requestOf(query, collection);
      const answer = await api.search(collection.name, { ...body, limit: PAGE_SIZE }, signal);
      return {
        hits: answer.hits.filter((hit) => hit.image_id !== own),
        next: answer.next_page_token,
        warnings: answer.warnings,
        note: `found in ${answer.timings.total_ms.toFixed(0)} ms`,
        regions: answer.query_regions,
      };
    },
  };
}
