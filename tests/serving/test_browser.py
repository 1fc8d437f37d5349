"""The page in a real browser, Chromium; screenshots land in build/."""

import base64
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from small_web import serving

BUILD = Path(__file__).parents[2] / "build"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
DRIVER = shutil.which("chromedriver")
SECONDS = 60  # until an answer must be there, on a busy machine

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER),
    reason="no browser: apt-get install chromium chromium-driver",
)

WIDE, PHONE = (1280, 900), (390, 844)

# A file is dropped as a person drops it: the page sees the same events with the same data.
DROP = """
const [name, kind, base64] = arguments;
const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], name, { type: kind }));
const place = document.querySelector("#drop");
for (const what of ["dragenter", "dragover", "drop"]) {
  place.dispatchEvent(new DragEvent(what, { dataTransfer: data, bubbles: true, cancelable: true }));
}
"""
PASTE = """
const bytes = Uint8Array.from(atob(arguments[0]), (one) => one.charCodeAt(0));
const data = new DataTransfer();
data.items.add(new File([bytes], "image.png", { type: "image/png" }));
document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
"""
DRAWN = """
const canvas = arguments[0];
const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
return pixels.some((value) => value > 0);
"""


@pytest.fixture(scope="module")
def address(served: Path) -> Iterator[str]:
    with serving(served) as (found, _):
        yield found


class Page:
    """What a person does with the page, and sees of it."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver = driver
        driver.get(address)
        self.wait(lambda: self.all("#facts dd"))

    def wait(self, until: Callable[[], object]) -> None:
        WebDriverWait(self.driver, SECONDS).until(lambda _: until())

    def all(self, selector: str) -> list:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.all(selector)[0].text

    def answers(self, count: int) -> None:
        """Wait for so many cards that are done."""
        self.wait(lambda: len(self.all(".answered, .failed")) == count)

    def drop(self, name: str, data: bytes, kind: str = "image/png") -> None:
        self.driver.execute_script(DROP, name, kind, base64.b64encode(data).decode())

    def screenshot(self, name: str) -> None:
        BUILD.mkdir(exist_ok=True)
        size = self.driver.execute_script(
            "return [document.documentElement.clientWidth, document.documentElement.scrollHeight]"
        )
        clip = {"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
        found = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip}
        )
        (BUILD / f"prototype-{name}.png").write_bytes(base64.b64decode(found["data"]))

    def problems(self) -> list[str]:
        """What the browser complains of, but for statuses that are answers."""
        log = self.driver.get_log("browser")
        return [one["message"] for one in log if "the server responded with a status" not in one]


def open_page(address: str, size: tuple[int, int]) -> Iterator[Page]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    words = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage"]
    words += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    words += ["--no-sandbox"] if os.geteuid() == 0 else []
    for word in words:
        options.add_argument(word)
    if size == PHONE:
        metrics = {"width": size[0], "height": size[1], "pixelRatio": 1, "touch": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        driver.set_window_size(*size)
        yield Page(driver, address)
    finally:
        driver.quit()


@pytest.fixture
def page(address: str) -> Iterator[Page]:
    yield from open_page(address, WIDE)


@pytest.fixture
def phone(address: str) -> Iterator[Page]:
    yield from open_page(address, PHONE)


def test_a_dropped_image_gets_its_class_and_a_bad_file_its_message(
    page: Page, unseen: list[Path], foreign: bytes
) -> None:
    page.drop("cat.jpg", unseen[0].read_bytes(), "image/jpeg")
    page.answers(1)
    assert page.text(".verdict").startswith("cat, ")
    assert "of known images score as high" in page.text(".likeness")
    assert not page.all("canvas.heat")[0].is_displayed(), "the image itself is seen first"
    page.all(".heat-toggle input")[0].click()
    assert page.all("canvas.heat")[0].is_displayed()
    assert page.driver.execute_script(DRAWN, page.all("canvas.heat")[0])
    assert page.driver.execute_script(DRAWN, page.all("canvas.box")[0])
    page.drop("foreign.png", foreign)
    page.answers(2)
    assert "Unlike the training images (out-of-distribution)" in page.text(".likeness")
    assert page.text(".verdict").startswith("If it is any of them: ")
    sizes = [
        float(page.all(one)[0].value_of_css_property("font-size").removesuffix("px"))
        for one in (".likeness strong", ".verdict")
    ]
    assert sizes[0] > sizes[1], "no class is as large as that it is none"
    page.drop("letter.png", b"Dear all,")
    page.answers(3)
    assert "No answer (415)" in page.text(".problem")
    assert "letter.png: not an image" in page.text(".problem")
    page.screenshot("wide")
    page.all("#clear")[0].click()
    assert not page.all(".card")


def test_several_at_once_and_names_are_text(page: Page, tmp_path: Path, unseen: list[Path]) -> None:
    odd = tmp_path / '<img src=x onerror="document.title=1">.jpg'
    odd.write_bytes(unseen[2].read_bytes())
    page.all("#files")[0].send_keys("\n".join(map(str, [*unseen, odd])))
    page.answers(5)
    assert len(page.all(".answered")) == 5
    assert odd.name in [one.text for one in page.all(".name")]
    assert not page.all('.name img, img[src="x"]')
    assert page.driver.title == "tiny · Podium"


def test_pasting_and_a_photo(page: Page, foreign: bytes) -> None:
    page.driver.execute_script(PASTE, base64.b64encode(foreign).decode())
    page.answers(1)
    page.all("#photo")[0].click()  # of Chromium's own made-up camera
    page.wait(lambda: page.all("#shoot")[0].is_displayed())
    page.wait(lambda: page.driver.execute_script("return video.videoWidth > 0 && !video.paused"))
    page.all("#shoot")[0].click()
    page.answers(2)
    assert page.text(".name") == "photo.jpg"
    assert page.text(".verdict")


def test_an_example_by_keyboard_and_another_class_s_heat(page: Page) -> None:
    body = page.all("body")[0]
    for _ in range(10):
        body.send_keys(Keys.TAB)
        if page.driver.execute_script("return document.activeElement.closest('#examples')"):
            break
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.answers(1)
    first, second = page.all(".classes button")
    assert first.get_attribute("aria-pressed") == "true"
    second.send_keys(Keys.ENTER)
    assert (first.get_attribute("aria-pressed"), second.get_attribute("aria-pressed")) == (
        "false",
        "true",
    )
    shown = second.find_element(By.CSS_SELECTOR, ".label").text
    assert page.text(".heat-toggle") == f"evidence for {shown}"
    page.all(".heat-toggle input")[0].send_keys(Keys.SPACE)
    assert not page.all("canvas.heat")[0].is_displayed()
    page.all(".box-toggle input")[0].send_keys(Keys.SPACE)
    assert not page.all("canvas.box")[0].is_displayed()


def test_it_fits_a_phone(phone: Page, unseen: list[Path]) -> None:
    phone.drop("cat.jpg", unseen[0].read_bytes(), "image/jpeg")
    phone.answers(1)
    phone.screenshot("phone")
    widths = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    scrolled, shown = phone.driver.execute_script(widths)
    assert scrolled <= shown, "nothing sticks out to the side"


def test_the_api_s_page_works_offline(page: Page, address: str) -> None:
    page.driver.get(f"{address}docs")
    page.wait(lambda: page.all(".opblock-summary-path"))
    assert "/api/classify" in [one.text for one in page.all(".opblock-summary-path")]
    assert not [one for one in page.problems() if "openapi" in one or "swagger" in one]
