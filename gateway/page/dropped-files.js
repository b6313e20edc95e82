// The images among dropped files and in dropped folders.

const IMAGE = /\.(jpe?g|png|webp|hei[cf]|avif|gif|bmp|tiff?)$/i;

export const isImage = ({ name, type }) => IMAGE.test(name) || type.startsWith("image/");

/** All images of a drop, those in its folders too. Has to be called before the event ends. */
export async function imagesIn(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...transfer.files];
  return files.filter(isImage);
}

async function filesOf(entry) {
  if (entry.name.startsWith(".")) return [];
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const found = [];
  // A reader gives a hundred entries at a time.
  for (;;) {
    const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return found;
    for (const each of entries) found.push(...(await filesOf(each)));
  }
}
