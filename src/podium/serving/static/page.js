// The page: images go to the API one by one, a few at a time, and each gets a card.
import { takePhoto } from "./camera.js";
import { drawBox, drawHeat, scale } from "./overlay.js";

const AT_ONCE = 4; // requests
const TRIES = 5; // where the server says that too many requests wait
const SHOWN = 5; // classes; the others can be unfolded
const SURE = 0.6; // probability of a class that is named without a "Perhaps"
const SMALLEST = 240; // pixels of an image's longer side on the page
const UNUSUAL = 0.2; // share of known images

const find = (selector, place = document) => place.querySelector(selector);
const sleep = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const percent = (share) => {
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "<\u00a00.1\u00a0%";
  return `${value >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)}\u00a0%`;
};

// Text is only ever set as text: a file's name may look like markup.
function element(tag, className = "", text = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

let about = null;
const waiting = [];
let asking = 0;

// ---------------------------------------------------------------- images in

function add(files) {
  for (const file of files) waiting.push({ file, card: makeCard(file) });
  next();
}

function next() {
  while (asking < AT_ONCE && waiting.length) {
    const { file, card } = waiting.shift();
    asking += 1;
    answer(file, card).finally(() => {
      asking -= 1;
      next();
    });
  }
}

async function answer(file, card) {
  try {
    const found = await ask(file);
    showAnswer(card, found);
  } catch (problem) {
    showProblem(card, problem);
  }
}

async function ask(file) {
  const most = about?.limits.megabytes;
  if (most && file.size > most * 1e6) {
    throw { status: 413, detail: `larger than the limit, ${most} MB` };
  }
  const form = new FormData();
  form.append("images", file, file.name || "image");
  for (let attempt = 1; ; attempt += 1) {
    let response;
    try {
      response = await fetch("api/classify", { method: "POST", body: form });
    } catch {
      throw { status: 0, detail: "the server cannot be reached, or the file cannot be read" };
    }
    if (response.status === 503 && attempt < TRIES) {
      await sleep(Number(response.headers.get("Retry-After") ?? 2));
      continue;
    }
    const body = await response.json().catch(() => ({}));
    if (!response.ok) {
      throw { status: response.status, detail: body.detail ?? response.statusText };
    }
    return body.images[0];
  }
}

// ---------------------------------------------------------------- cards

function makeCard(file) {
  const card = find("#card").content.firstElementChild.cloneNode(true);
  const image = find("img", card);
  card.address = URL.createObjectURL(file);
  image.addEventListener("error", () => find(".frame", card).classList.add("blind"));
  image.src = card.address;
  image.alt = "Your image";
  find(".name", card).textContent = file.name || "image";
  find(".toggles", card).hidden = true;
  find("#cards").prepend(card);
  find("#answers h2").hidden = false;
  return card;
}

function showProblem(card, { status, detail }) {
  find(".result", card).replaceChildren(
    element("p", "problem", "", element("strong", "", `No answer${status ? ` (${status})` : ""}`),
      document.createTextNode(detail ?? "something went wrong in this page")),
  );
  card.classList.add("failed");
}

function showAnswer(card, found) {
  const [best] = found.classes;
  // A grade, or several labels, is more than the likeliest output of the network.
  const said = found.said.join(", ") || "No label";
  const text = said === best.name ? `${said}, ${percent(best.probability)}` : said;
  const perhaps = best.probability < SURE && said === best.name ? "Perhaps " : "";
  const verdict = element("p", "verdict", found.ood ? `If it is any of them: ${text}` : perhaps + text);
  const told = [verdict, likeness(found)];
  // What it is not comes first and largest: a sure answer would be believed.
  if (found.ood) told.reverse();
  find(".result", card).replaceChildren(...told, ...classList(card, found));
  const image = find("img", card);
  image.alt = `Your image: ${said}`;
  const draw = () => {
    // Very small images are enlarged, so that what is drawn over them is seen.
    const enlarged = SMALLEST / Math.max(image.naturalWidth, image.naturalHeight, 1);
    if (enlarged > 1) image.style.width = `${enlarged * image.naturalWidth}px`;
    if (found.box) drawBox(find(".box", card), found.box, image);
  };
  if (image.complete) draw();
  else image.addEventListener("load", draw);
  setUpToggles(card, found, best);
  card.classList.add("answered");
}

function likeness({ ood, ood_limit: limit, ood_score: score, ood_p_value: share }) {
  if (limit === null) {
    return element("p", "likeness", "Too few known images to tell whether this one is out-of-distribution.");
  }
  const known = `${percent(share)} of known images score as high or higher`;
  const numbers = `(score ${score.toFixed(2)}, limit ${limit.toFixed(2)})`;
  if (ood) {
    const title = "⚠ Unlike the training images (out-of-distribution)";
    return element("p", "likeness ood", "", element("strong", "", title),
      document.createTextNode(`Only ${known} ${numbers}: the classes below may mean nothing.`));
  }
  const title = share < UNUSUAL ? "? A little unusual" : "✓ Looks like the training images";
  return element("p", "likeness", "", element("strong", "", title),
    document.createTextNode(`${known} ${numbers}.`));
}

function classList(card, found) {
  const rows = found.classes.map((entry) => classRow(card, entry));
  if (rows.length <= SHOWN + 1) return [element("ol", "classes", "", ...rows)];
  const first = element("ol", "classes", "", ...rows.slice(0, SHOWN));
  const rest = element("details", "", "",
    element("summary", "", `${rows.length - SHOWN} more classes`),
    element("ol", "classes", "", ...rows.slice(SHOWN)));
  return [first, rest];
}

function classRow(card, entry) {
  const bar = element("i");
  bar.style.width = `${100 * entry.probability}%`;
  const row = element(entry.heat ? "button" : "div", "", "", element("span", "label", entry.name),
    element("span", "track", "", bar), element("span", "number", percent(entry.probability)));
  if (entry.heat) {
    row.type = "button";
    row.title = `Show the evidence for ${entry.name}`;
    row.classIdentity = entry;
    row.addEventListener("click", () => {
      find(".heat-toggle input", card).checked = true;
      find("canvas.heat", card).hidden = false;
      chooseHeat(card, entry);
    });
  }
  return element("li", "", "", row);
}

function setUpToggles(card, found, best) {
  const [heat, box] = [find(".heat-toggle", card), find(".box-toggle", card)];
  find(".toggles", card).hidden = !(best.heat || found.box);
  heat.hidden = find(".scale", card).hidden = !best.heat;
  box.hidden = !found.box;
  if (best.heat) {
    find(".scale span", card).style.background = scale();
    find("input", heat).addEventListener("change", (event) => {
      find("canvas.heat", card).hidden = !event.target.checked;
    });
    chooseHeat(card, best);
  }
  find("input", box).addEventListener("change", (event) => {
    find("canvas.box", card).hidden = !event.target.checked;
  });
}

// Draws the evidence for a class; it is shown once somebody asks, and the image is seen until then.
function chooseHeat(card, entry) {
  drawHeat(find("canvas.heat", card), entry.heat);
  find(".heat-toggle span", card).textContent = `evidence for ${entry.name}`;
  for (const row of card.querySelectorAll(".classes button")) {
    row.setAttribute("aria-pressed", String(row.classIdentity === entry));
  }
}

// ---------------------------------------------------------------- the page around

function fact(term, text) {
  find("#facts").append(element("dt", "", term), element("dd", "", text));
}

function showAbout() {
  const { run, competition, classes, networks, score, no_heat, limits } = about;
  find("#run").textContent = run;
  document.title = `${run} · Podium`;
  find("#about").textContent =
    `Classifies ${classes.length} classes of ${competition}` +
    (score ? `; ${score}` : "");
  find("#limits").textContent =
    `Up to ${limits.megabytes} MB and ${limits.pixels / 1e6} million pixels each`;
  fact("Classes", classes.join(", "));
  fact("Networks", networks);
  if (score) fact("Score", `${score}, by all networks and views`);
  fact("Out-of-distribution", about.out_of_distribution);
  if (no_heat) fact("Heat maps", no_heat);
}

function showExamples() {
  for (const example of about.examples) {
    const image = element("img");
    image.src = example.address;
    image.alt = "";
    const button = element("button", "", "", image, element("span", "", example.name));
    button.type = "button";
    button.title = `Try this image: ${example.name}`;
    button.addEventListener("click", async () => {
      const blob = await (await fetch(example.address)).blob();
      add([new File([blob], `example, ${example.name}.jpg`, { type: blob.type })]);
      find("#answers").scrollIntoView({ behavior: "smooth", block: "start" });
    });
    find("#examples").append(element("li", "", "", button));
  }
  find("#tries").hidden = !about.examples.length;
}

function listen() {
  const drop = find("#drop");
  for (const input of [find("#files"), find("#capture")]) {
    input.addEventListener("change", () => {
      add([...input.files]);
      input.value = ""; // the same file may be chosen again
    });
  }
  // Anywhere on the page: a browser would leave it for an image that is dropped beside the field.
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) drop.classList.remove("over");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    add([...event.dataTransfer.files]);
  });
  document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
  find("#photo").addEventListener("click", async () => {
    const photo = await takePhoto(find("#capture"));
    if (photo) add([photo]);
  });
  find("#clear").addEventListener("click", () => {
    for (const card of document.querySelectorAll(".answered, .failed")) {
      URL.revokeObjectURL(card.address);
      card.remove();
    }
    find("#answers h2").hidden = !find("#cards").children.length;
  });
}

listen();
try {
  about = await (await fetch("api/run")).json();
  showAbout();
  showExamples();
} catch {
  find("#about").textContent = "The server cannot be reached.";
}
