// The heat map and the box that are drawn over an image.

// Cividis (Nuñez, Anderton and Renslow 2018): dark blue to yellow, safe for color-blind eyes.
const COLORS = [[0, 34, 78], [53, 69, 108], [102, 105, 112], [148, 142, 119], [200, 184, 102], [254, 232, 56]];
const OPACITY = 0.62; // where the evidence for the class is strongest
const FAINT = 0.25; // where there is none: the image must stay visible
const WIDTH = 512; // of the box's canvas, pixels

function color(value) {
  const place = value * (COLORS.length - 1);
  const below = Math.min(Math.floor(place), COLORS.length - 2);
  return COLORS[below].map((low, channel) => low + (place - below) * (COLORS[below + 1][channel] - low));
}

export function scale() {
  return `linear-gradient(90deg, ${COLORS.map((rgb) => `rgb(${rgb.join(" ")})`).join(", ")})`;
}

export function drawHeat(canvas, rows) {
  // Interpolated as numbers, then colored: colors in between would be others than the scale's.
  const [height, width] = [rows.length * 16, rows[0].length * 16];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const value = between(rows, (y + 0.5) / 16 - 0.5, (x + 0.5) / 16 - 0.5);
      const opacity = 255 * (FAINT + (OPACITY - FAINT) * value);
      pixels.data.set([...color(value), opacity], 4 * (y * width + x));
    }
  }
  context.putImageData(pixels, 0, 0);
}

function between(rows, y, x) {
  const clamp = (value, most) => Math.min(Math.max(value, 0), most);
  const [top, left] = [clamp(y, rows.length - 1), clamp(x, rows[0].length - 1)];
  const [row, column] = [Math.floor(top), Math.floor(left)];
  const [below, right] = [Math.min(row + 1, rows.length - 1), Math.min(column + 1, rows[0].length - 1)];
  const [down, across] = [top - row, left - column];
  return (1 - down) * ((1 - across) * rows[row][column] + across * rows[row][right])
    + down * ((1 - across) * rows[below][column] + across * rows[below][right]);
}

export function drawBox(canvas, box, image) {
  canvas.width = WIDTH;
  canvas.height = Math.round(WIDTH * (image.naturalHeight || 1) / (image.naturalWidth || 1));
  const context = canvas.getContext("2d");
  const place = [
    box.x_min * canvas.width, box.y_min * canvas.height,
    (box.x_max - box.x_min) * canvas.width, (box.y_max - box.y_min) * canvas.height,
  ];
  // Black under white: seen on any image.
  for (const [style, width] of [["#000", 8], ["#fff", 4]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.strokeRect(...place);
  }
}
