"""The figures of README and docs, made anew from the demo: `make figures`, some minutes.

demo.svg is what `make demo` prints, sample.jpg some of the images that it draws, report.jpg its
report and prototype.png the page of `podium serve`, both seen by Chromium.
"""

import re
import shutil
import subprocess
import sys
import time
from io import BytesIO, StringIO
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from rich.console import Console
from rich.text import Text
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parents[1]
DOCS, RUN = ROOT / "docs", "sample-b0"
PODIUM = Path(sys.executable).with_name("podium")
DEMO = (
    ["sample"],
    ["train", RUN, "--fresh"],
    ["score", f"submissions/{RUN}.csv", "input/podium-sample/truth.csv"],
)
COLUMNS = 110  # of the terminal
SHOWN, MARGIN = 900, 16  # pixels across, of what Chromium sees
WAIT = 120  # seconds until the page must answer
SECTIONS = ("Score", "Classes", "Images", "Grad-CAM")  # of the report


def main() -> None:
    demo()
    sample()
    browser = chromium()
    try:
        report(browser)
        page(browser)
    finally:
        browser.quit()


def demo() -> None:
    """Run the demo's commands and draw what they print."""
    console = Console(record=True, width=COLUMNS, file=StringIO())
    for words in DEMO:
        console.print(Text(f"$ podium {' '.join(words)}", style="bold"))
        done = subprocess.run([PODIUM, *words], cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr[-2000:])
        console.print(Text(shorten(done.stdout.replace(f"{ROOT}/", ""))))
    (DOCS / "demo.svg").write_text(console.export_svg(title="make demo", unique_id="podium"))
    print("demo.svg")


def shorten(printed: str) -> str:
    """What is left to see at the end, without TensorFlow's own lines and a stage's middle epochs.

    As on a terminal, a progress bar is drawn over the one before it.
    """
    lines = [line.rpartition("\r")[2] for line in printed.strip().split("\n")]
    lines = [line for line in lines if not re.match(r"WARNING|[IWE]0000", line)]
    kept, epochs = [], []
    for line in [*lines, ""]:
        if re.match(r"Epoch \d+/\d+|about .* left of this fold|\d+/\d+ - ", line):
            epochs.append(line)
            continue
        kept += epochs if len(epochs) <= 7 else [*epochs[:3], "…", *epochs[-2:]]
        kept.append(line)
        epochs = []
    return "\n".join(kept)


def sample() -> None:
    """Put some drawn images side by side."""
    files = sorted((ROOT / "input" / "podium-sample").glob("train/*/*"))
    chosen = [files[int(place)] for place in np.linspace(0, len(files) - 1, 16)]
    images = [cv2.resize(cv2.imread(str(path)), (120, 90)) for path in chosen]
    rows = [np.hstack(images[start : start + 8]) for start in (0, 8)]
    cv2.imwrite(str(DOCS / "sample.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])
    print("sample.jpg")


def chromium() -> webdriver.Chrome:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        sys.exit("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in ("headless=new", "no-sandbox", "hide-scrollbars", f"window-size={SHOWN},1200"):
        options.add_argument(f"--{word}")
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def report(browser: webdriver.Chrome) -> None:
    """Put parts of the demo's report below each other."""
    browser.get((ROOT / "weights" / RUN / "report.html").as_uri())
    parts = []
    for section in browser.find_elements(By.TAG_NAME, "section"):
        if section.find_element(By.TAG_NAME, "h2").text in SECTIONS:
            parts.append(Image.open(BytesIO(section.screenshot_as_png)).convert("RGB"))
    parts = [part.crop((0, 0, part.width, min(part.height, 460))) for part in parts]
    whole = Image.new("RGB", (SHOWN, sum(part.height for part in parts)), "white")
    for number, part in enumerate(parts):
        whole.paste(part, (MARGIN, sum(above.height for above in parts[:number])))
    whole.save(DOCS / "report.jpg", quality=80)
    print(f"report.jpg: {len(parts)} sections")


def page(browser: webdriver.Chrome) -> None:
    """Let the page of the demo's run answer for its first example."""
    words = [PODIUM, "serve", RUN, "--port", "0"]
    server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        address = None
        while address is None:
            address = re.search(r"http://[\d.]+:\d+", server.stdout.readline())
        browser.get(f"{address[0]}/")
        wait = WebDriverWait(browser, WAIT)
        wait.until(lambda seen: seen.find_elements(By.CSS_SELECTOR, "#examples button"))[0].click()
        wait.until(lambda seen: seen.find_elements(By.CSS_SELECTOR, ".card canvas"))
        time.sleep(3)  # the heat map fades in
        browser.save_screenshot(str(DOCS / "prototype.png"))
        print("prototype.png")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
