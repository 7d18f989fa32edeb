"""The page in a real browser: it draws, it can be used, and it asks for nothing."""

import shutil

import numpy as np
import pytest

from opensphere.report import page
from opensphere.report.results import read_results
from tests.report.material import write_comparison, write_data, write_evidence, write_run, write_study, write_table

BROWSER = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'opensphere[dev]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium: apt-get install chromium"),
]
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--enable-unsafe-swiftshader",
]  # fmt: skip
LONG = "a_very_long_name_of_a_loss_without_any_place_to_break_it_0123456789"


@pytest.fixture(scope="module")
def play():
    with api.sync_playwright() as found:
        yield found


@pytest.fixture(scope="module")
def browser(play):
    found = play.chromium.launch(executable_path=BROWSER, args=["--headless=new", *FLAGS])
    yield found
    found.close()


@pytest.fixture
def flat_browser(play):
    """One without WebGL."""
    flags = [flag for flag in FLAGS if "swiftshader" not in flag]
    found = play.chromium.launch(executable_path=BROWSER, args=["--headless=new", *flags, "--disable-3d-apis"])
    yield found
    found.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    folders = [write_run(place / name, head) for name, head in (("a", "ArcFace"), ("b", LONG))]
    for number, (folder, accuracy) in enumerate(zip(folders, (94.0, 96.0), strict=True)):
        write_table(folder, accuracy)
        write_evidence(folder, seed=number)
    write_data(folders[0], [1] * 300 + [2, 30, 4000], person=np.array([LONG] * 303))
    write_data(folders[1], range(3, 11), name=LONG)
    write_comparison(*folders, -2.0, 0.01)
    results = read_results(folders)
    results.runs[0].label += " <script>alert(1)</script>"
    path = place / "report.html"
    path.write_text(page.render(results, page.build(results)), encoding="utf-8")
    assert path.stat().st_size < 6e6
    return path


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A page of a comparison of five arms under three settings."""
    place = tmp_path_factory.mktemp("study")
    arms = ["CocoLoss", "CosFace", "ArcFace", "SphereFace", LONG]
    write_study(place, arms, (0.001, 0.01, 0.1), gaps=(0.0, 2.0, 0.3, 1.5, -2.0), evidence_of=True)
    write_data(place / "runs" / "0-0-0")
    path = place / "report.html"
    path.write_text(page.fit(read_results([place]))[0], encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, html):
    """Opens a page in a fresh profile; at the end there must have been no error and no request."""
    contexts, wrong, seen = [], [], {html.as_uri()}

    def see(width: int, scheme: str = "light", path=html, browser=browser):
        seen.add(path.as_uri())
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda asked: asked.url.startswith(("data:", "blob:")) or wrong.append(asked.url))
        tab.goto(path.as_uri())
        tab.wait_for_selector(".plot .main-svg")
        return tab

    yield see
    for context in contexts:
        context.close()
    assert set(wrong) <= seen, wrong


def draw_all(tab) -> None:
    """Bring every figure near, one after another, and wait until it is drawn."""
    for place in tab.query_selector_all(".plot"):
        if place.is_visible():
            place.scroll_into_view_if_needed()
            try:
                tab.wait_for_function("place => place.querySelector('.main-svg')", arg=place)
            except api.TimeoutError:
                name, said = place.get_attribute("data-figure"), place.inner_text()
                pytest.fail(f"{name} is not drawn; in its place stands {said!r}")


@pytest.mark.parametrize("kind", ["html", "study"])
@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_nothing_sticks_out(opened, request, kind: str, width: int, scheme: str) -> None:
    tab = opened(width, scheme, request.getfixturevalue(kind))
    draw_all(tab)
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    wide = (
        "[...document.querySelectorAll('.card, .box, p, h2, h3, select, .plot, .faces img, .pairs li')]"
        ".filter(e => e.getBoundingClientRect().right"
    )
    assert tab.evaluate(f"{wide} > innerWidth + 1).map(e => e.className || e.tagName)") == []
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, ground.strip("rgb()").split(","))) < 64) == (scheme == "dark")


def test_the_switch_changes_page_and_figures(opened) -> None:
    tab = opened(1440)
    colour = "getComputedStyle(document.querySelector('.plot .xtick text')).fill"
    before = tab.evaluate(colour)
    assert tab.text_content("#theme") == "dark"
    tab.click("#theme")
    tab.wait_for_function(f"{colour} !== '{before}'")
    assert tab.text_content("#theme") == "light"


def test_heads_sort_by_mouse_and_by_keyboard(opened) -> None:
    tab = opened(1440)
    first = ".sheet >> nth=0 >> tbody tr:first-child th"
    assert tab.text_content(first).startswith("ArcFace")
    head = tab.locator(".sheet").first.locator("th button", has_text="ACC")
    head.click()
    assert tab.text_content(first) == LONG
    head.focus()
    tab.keyboard.press("Enter")
    assert tab.text_content(first).startswith("ArcFace")
    assert tab.locator(".sheet").first.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_threshold_moves_line_and_rates(opened, html) -> None:
    tab = opened(1440)
    slider = tab.locator("[data-slider]")
    slider.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('.plot[data-figure=scores-pairs] .shapelayer path')")
    shape = "document.querySelector('.plot[data-figure=scores-pairs] .shapelayer path').getAttribute('d')"
    before, rate = tab.evaluate(shape), tab.locator("[data-rate=fmr]").first.text_content()
    slider.focus()
    for _ in range(15):
        tab.keyboard.press("ArrowRight")
    threshold = float(tab.text_content("output"))
    arrays = read_results([html.parent / "a"]).runs[0].evidence["pairs"]
    cut = int(round((threshold + 1) * 100))
    expected = int(arrays["impostor_counts"][cut:].sum())
    after = tab.locator("[data-rate=fmr]").first.text_content()
    assert f"({expected} of 300)" in after and after != rate
    missed = int(arrays["genuine_counts"][:cut].sum())
    assert f"({missed} of 300)" in tab.locator("[data-rate=fnmr]").first.text_content()
    assert tab.evaluate(shape) != before


def test_a_point_of_a_curve_is_read_by_pointing(opened) -> None:
    tab = opened(1440)
    place = tab.locator(".plot[data-figure=roc-pairs]")
    place.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('.plot[data-figure=roc-pairs] .nsewdrag')")
    box = place.locator(".nsewdrag").first.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.1)
    tab.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + 20, steps=5)
    tab.wait_for_selector(".plot[data-figure=roc-pairs] .hovertext")
    assert "threshold" in place.locator(".hovertext").first.text_content()


def test_the_legend_hides_a_run_everywhere(opened) -> None:
    tab = opened(1440)
    draw_all(tab)
    curves = ".plot[data-figure=train-loss] .scatterlayer .trace"
    assert tab.locator(curves).count() == 2
    button = tab.locator("[data-legend='1']")
    button.click()
    tab.wait_for_function(f"document.querySelectorAll('{curves}').length === 1")
    assert button.get_attribute("aria-pressed") == "false"
    assert tab.locator(".rates tr[data-run='1']").is_hidden()
    button.click()
    tab.wait_for_function(f"document.querySelectorAll('{curves}').length === 2")


def test_another_metric_shows_its_own_comparison(opened) -> None:
    tab = opened(390)
    assert tab.locator("[data-verdicts=forest-pairs-acc]").is_visible()
    tab.select_option("[data-metric]", label="EER")
    tab.wait_for_selector("[data-verdicts=forest-pairs-eer] .plot .main-svg")
    assert tab.locator("[data-verdicts=forest-pairs-acc]").is_hidden()
    assert tab.locator("[data-verdicts=forest-pairs-eer] td.better").count() == 1


def test_another_number_of_a_study_shows_its_seeds_and_differences(opened, study) -> None:
    tab = opened(1440, path=study)
    label = "EER on unseen, share 0.1"
    tab.select_option("[data-metric]", label=label)
    part = tab.locator("[data-verdicts=seeds-{}-unseen-eer-2]".format(study.parent.name.replace("_", "-")))
    tab.wait_for_function("document.querySelectorAll('[data-verdicts]:not([hidden]) .plot .main-svg').length >= 2")
    assert part.is_visible() and part.locator(".plot").count() == 2
    assert label in part.locator("h4").first.text_content()
    row = part.locator(".verdicts tbody tr").nth(1)
    assert row.locator("th").text_content() == "CosFace" and row.locator("td.better").count() == 3
    assert row.locator("td").first.text_content() == "▲ -2.00"  # two points fewer errors


def test_pictures_of_the_training_data_are_loaded_and_its_bars_can_be_read(opened) -> None:
    tab = opened(1440)
    tab.locator("#data").scroll_into_view_if_needed()
    for place in tab.query_selector_all("#data .faces img"):
        place.scroll_into_view_if_needed()
        tab.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=place)
    assert tab.locator("#data .people li").count() == 8  # four of each set
    bars = tab.locator("#data .plot[data-figure=data-1-faces] .bars .point path")
    tab.locator("#data-1-faces").scroll_into_view_if_needed()
    bars.first.wait_for(state="attached")
    tall = [box["height"] for box in (bar.bounding_box() for bar in bars.all()) if box and box["height"] > 1]
    assert len(tall) == 4 and tall[0] == max(tall)
    bars.first.hover(force=True, position={"x": 9, "y": 20})  # on a logarithmic axis bars reach far below
    said = "document.querySelector('.plot[data-figure=data-1-faces] .hoverlayer')?.textContent"
    tab.wait_for_function(f"{said} === 'people: 300images of each: 1'")


def test_bands_show_once_few_arms_are_left(opened, study) -> None:
    tab = opened(1440, path=study)
    place = ".plot[data-figure^=sweep]"
    tab.locator(place).scroll_into_view_if_needed()
    tab.wait_for_selector(f"{place} .main-svg")
    filled = f"document.querySelectorAll('{place} .scatterlayer .trace .js-fill').length"
    assert tab.evaluate(filled) == 0
    tab.click("[data-legend='4']")
    tab.wait_for_function(f"{filled} === 4")
    tab.click("[data-legend='4']")
    tab.wait_for_function(f"{filled} === 0")


def test_without_webgl_a_sentence_stands_for_the_sphere(flat_browser, opened, html) -> None:
    tab = opened(390, path=html, browser=flat_browser)
    tab.locator(".plot[data-figure^=sphere]").first.scroll_into_view_if_needed()
    told = tab.locator(".plot[data-figure^=sphere] .missing").first
    told.wait_for()
    assert "This browser has no WebGL, so this sphere is not drawn" in told.text_content()
    assert told.locator("a").get_attribute("href") == "#angles-pairs"
    tab.locator("#angles-pairs").scroll_into_view_if_needed()
    tab.wait_for_selector("#angles-pairs .main-svg")
    tab.click("[data-legend='0']")
    tab.click("#theme")
    assert told.is_visible()
