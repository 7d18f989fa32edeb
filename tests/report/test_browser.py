"""The page in a real browser: it draws, it can be used, and it asks for nothing."""

import shutil

import pytest

from opensphere.report import page
from opensphere.report.results import read_results
from tests.report.material import write_comparison, write_evidence, write_run, write_table

BROWSER = next((path for name in ("chromium", "google-chrome", "chrome") if (path := shutil.which(name))), None)
pytest.importorskip("playwright", reason="needs playwright: pip install 'opensphere[dev]'")
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
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=BROWSER, args=["--headless=new", *FLAGS])
        yield found
        found.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    place = tmp_path_factory.mktemp("page")
    folders = [write_run(place / name, head) for name, head in (("a", "ArcFace"), ("b", LONG))]
    for number, (folder, accuracy) in enumerate(zip(folders, (94.0, 96.0), strict=True)):
        write_table(folder, accuracy)
        write_evidence(folder, seed=number)
    write_comparison(*folders, -2.0, 0.01)
    results = read_results(folders)
    results.runs[0].label += " <script>alert(1)</script>"
    path = place / "report.html"
    path.write_text(page.render(results, page.build(results)), encoding="utf-8")
    assert path.stat().st_size < 6e6
    return path


@pytest.fixture
def opened(browser, html):
    """Opens the page in a fresh profile; at the end there must have been no error and no request."""
    contexts, wrong = [], []

    def see(width: int, scheme: str = "light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: message.type == "error" and wrong.append(message.text))
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("dialog", lambda dialog: (wrong.append(dialog.message), dialog.dismiss()))
        tab.on("request", lambda asked: asked.url.startswith(("data:", "blob:")) or wrong.append(asked.url))
        tab.goto(html.as_uri())
        tab.wait_for_selector(".plot .main-svg")
        return tab

    yield see
    for context in contexts:
        context.close()
    assert set(wrong) <= {html.as_uri()}, wrong


def draw_all(tab) -> None:
    """Bring every figure near, one after another, and wait until it is drawn."""
    for place in tab.query_selector_all(".plot"):
        if place.is_visible():
            place.scroll_into_view_if_needed()
            tab.wait_for_function("place => place.querySelector('.main-svg')", arg=place)


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_figure_is_drawn_and_nothing_sticks_out(opened, width: int, scheme: str) -> None:
    tab = opened(width, scheme)
    draw_all(tab)
    assert tab.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    wide = "[...document.querySelectorAll('.card, .box, p, h2, h3, .plot')].filter(e => e.getBoundingClientRect().right"
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
