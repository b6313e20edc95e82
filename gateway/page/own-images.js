// Images and sketches of one's own: they stay in this browser, where the address of a query names them.

const KEPT = 60;
const STORE = "images";

const database = new Promise((resolve) => {
  const opening = indexedDB.open("fovea", 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { autoIncrement: false });
  opening.onsuccess = () => resolve(opening.result);
  // A browser in private mode may refuse: then an image lasts as long as the page.
  opening.onerror = () => resolve(null);
});
const kept = new Map();

/** Keeps an image, `{blob, name, strokes}`; its key. Keys rise, so the oldest images are forgotten first. */
export function keep(image) {
  const key = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
  kept.set(key, image);
  database.then((opened) => opened && write(opened, key, image));
  return key;
}

/** The image with this key; undefined where it was never chosen in this browser, or long ago. */
export async function own(key) {
  if (kept.has(key)) return kept.get(key);
  const opened = await database;
  const image = opened && (await answer(opened.transaction(STORE).objectStore(STORE).get(key)));
  if (image) kept.set(key, image);
  return image ?? undefined;
}

async function write(opened, key, image) {
  const store = opened.transaction(STORE, "readwrite").objectStore(STORE);
  store.put(image, key);
  const keys = await answer(store.getAllKeys());
  for (const old of (keys ?? []).slice(0, -KEPT)) store.delete(old);
}

const answer = (request) =>
  new Promise((resolve) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
