// Pixels of a frame, uint8 rows of channels, on a canvas of its size.
const images = new WeakMap();

export function draw(canvas, [height, width, channels], pixels) {
  let image = images.get(canvas);
  if (!image || image.width !== width || image.height !== height) {
    Object.assign(canvas, { width, height });
    image = new ImageData(width, height);
    image.data.fill(255);
    images.set(canvas, image);
  }
  const last = channels - 1;
  for (let from = 0, to = 0; from < pixels.length; from += channels, to += 4) {
    image.data[to] = pixels[from];
    image.data[to + 1] = pixels[from + Math.min(1, last)];
    image.data[to + 2] = pixels[from + Math.min(2, last)];
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
