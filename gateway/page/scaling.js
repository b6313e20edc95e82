// Images are scaled before they are sent: no encoder looks at more than this.

const LONGEST_SIDE_PX = 1024;
const QUALITY = 0.9;

/** The image upright and with sides of at most 1,024 px; the file as it is where it is small, or this browser cannot read it. */
export async function scaled(file) {
  const image = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  if (!image) return file;
  const scale = LONGEST_SIDE_PX / Math.max(image.width, image.height);
  if (scale >= 1) return file;
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(image.width * scale)), Math.max(1, Math.round(image.height * scale)));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  // JPEG has no transparency: what shows through is white, as it is for the encoders.
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  image.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
}
