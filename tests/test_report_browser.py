"""The page of a sweep in a real browser: nothing fails, and what one points at is shown."""

import shutil
import time

import numpy as np
import pytest
import swept
from made_results import make

import grokjax
from grokjax.results import SweepResult

pytest.importorskip("altair", reason="altair is not installed")
pytest.importorskip("vl_convert", reason="vl-convert-python is not installed")
pytest.importorskip("selenium", reason="selenium is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
if not (BROWSER and DRIVER):
    pytest.skip("there is no chromium with its chromedriver", allow_module_level=True)

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

PATIENCE = 60  # seconds, on a machine that does much else


@pytest.fixture(scope="module")
def browser():
    """A browser without a window, which keeps what the console says."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    flags = ["headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"]
    for flag in (*flags, "window-size=1200,3600"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The page of a sweep that can be watched, open and complete."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    grokjax.report(swept.watched(), path)
    browser.get(path.as_uri())
    wait_for(lambda: browser.execute_script("return document.body.dataset.ready") == "yes")
    return browser


def wait_for(happened):
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end, "nothing changed"
        time.sleep(0.05)


def text(page, name):
    return page.find_element(By.ID, name).text


def lines(page, name):
    """The curves of a chart, as they are drawn."""
    found = page.find_elements(By.CSS_SELECTOR, f"#{name} .mark-line path")
    return [path.get_attribute("d") for path in found]


def picture(page, name):
    return page.execute_script(f"return document.getElementById('{name}').toDataURL()")


def cell(page, number):
    """A cell of the grid: its outline, which is what the pointer meets."""
    return page.find_elements(By.CSS_SELECTOR, "#grid .layer_1_marks path")[number]


def set_frame(page, frame):
    page.execute_script(
        "const f = document.getElementById('frame'); f.value = arguments[0];"
        "f.dispatchEvent(new Event('input'));",
        frame,
    )


def test_nothing_fails_and_every_chart_is_drawn(page):
    assert page.get_log("browser") == []
    for name in ("grid", "accuracy", "other", "times", "survival", "own"):
        assert page.find_elements(By.CSS_SELECTOR, f"#{name} svg path"), name
    assert len(lines(page, "accuracy")) == 6  # three lanes, on training and on test rows
    assert page.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_pointing_at_a_cell_and_clicking_it_change_what_is_shown(page):
    assert "training fraction 0.4: 2 memorized only, 1 diverged" in text(page, "about")
    before = lines(page, "accuracy")
    pointer = ActionChains(page)
    pointer.move_to_element(cell(page, 1)).perform()
    wait_for(lambda: "training fraction 0.7: 3 grokked" in text(page, "about"))
    wait_for(lambda: lines(page, "accuracy") != before)
    assert "Median grokking step 30 (95 % interval" in text(page, "about")
    pointer.click(cell(page, 0)).perform()  # and it stays
    wait_for(lambda: "fraction 0.4" in text(page, "about"))
    pointer.move_to_element(cell(page, 1)).perform()
    time.sleep(0.2)
    assert "fraction 0.4" in text(page, "about")
    assert lines(page, "accuracy") == before
    page.find_element(By.ID, "grid").send_keys(Keys.ARROW_RIGHT)
    wait_for(lambda: "fraction 0.7" in text(page, "about"))
    assert page.get_log("browser") == []


def test_the_second_chart_and_the_scale_of_steps_can_be_chosen(page):
    before = lines(page, "other")
    page.find_element(By.CSS_SELECTOR, "#measure option[value='weight_norm']").click()
    wait_for(lambda: text(page, "second") == "weight norm")
    wait_for(lambda: len(lines(page, "other")) == 3 and lines(page, "other") != before)
    before = lines(page, "accuracy")
    page.find_element(By.ID, "linear").click()
    wait_for(lambda: len(lines(page, "accuracy")) == 6 and lines(page, "accuracy") != before)
    assert page.get_log("browser") == []


def test_the_slider_moves_the_table_the_spectra_and_the_circles(page):
    assert text(page, "at") == "step 50: training 100.0 %, test 100.0 %"
    names = ("table", "heat")
    last = [picture(page, name) for name in names]
    circle = "return document.querySelector('#circles canvas').toDataURL()"
    last.append(page.execute_script(circle))
    set_frame(page, 0)
    assert text(page, "at").startswith("step 0: training ")
    first = [picture(page, name) for name in names] + [page.execute_script(circle)]
    assert all(a != b for a, b in zip(first, last, strict=True))
    set_frame(page, 5)
    assert [picture(page, name) for name in names] == last[:2]
    ActionChains(page).move_to_element(page.find_element(By.ID, "table")).perform()
    assert text(page, "pointed").startswith("first operand 3, second 3: right, a t")
    assert page.get_log("browser") == []


def test_another_network_can_be_chosen_and_played(page):
    before = picture(page, "table")
    page.find_element(By.CSS_SELECTOR, "#network option[value='2']").click()
    wait_for(lambda: picture(page, "table") != before)
    assert "test 100.0 %" not in text(page, "at")
    set_frame(page, 2)
    page.find_element(By.ID, "play").click()
    wait_for(lambda: text(page, "play") == "Play")  # it ended by itself
    assert text(page, "at").startswith("step 50:")
    assert page.get_log("browser") == []


def test_names_of_strangers_do_no_harm(browser, tmp_path):
    nasty = "</script><script>window.hurt = 1</script>' \\ \" \n <b>"
    columns = {"seed": np.arange(6), "optimizer": np.repeat([nasty, "'"], 3)}
    grokjax.report(SweepResult(make(columns, task=nasty, recipe=nasty)), tmp_path / "page.html")
    browser.get((tmp_path / "page.html").as_uri())
    wait_for(lambda: browser.execute_script("return document.body.dataset.ready") == "yes")
    assert browser.execute_script("return window.hurt === undefined")
    assert browser.get_log("browser") == []
