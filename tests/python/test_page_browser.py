"""The page in a real browser, headless: no error, no sideways scrolling, the position's numbers equal Python's, hover by keyboard."""

import shutil
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import small_snapshot as small
from small_snapshot import CODES, render

from zl_forecast import formats
from zl_forecast.page import position

sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: it comes with the extra `test`")
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
NOW = datetime(2024, 3, 15, 23, 30)  # UTC, half an hour after the cut-off of the newest session
USD = position.USD_PER_CENT_AND_CONTRACT

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: on Debian `apt-get install chromium` installs it"
)


@pytest.fixture(scope="module")
def browser():
    with sync.sync_playwright() as driver:
        # a container may have no user namespaces for the sandbox; the page is our own
        own = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield own
        own.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(), encoding="utf-8")
    return path


@pytest.fixture
def opened(browser, file):
    """Return a function that opens the page at a size, and collects what the console says and what is requested."""
    contexts = []

    def open_page(size="desktop", now=NOW, **settings):
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, has_touch=size == "phone", **settings
        )
        contexts.append(context)
        own = context.new_page()
        own.said, own.requested = [], []
        own.on("console", lambda message: own.said.append(f"{message.type}: {message.text}"))
        own.on("pageerror", lambda error: own.said.append(f"error: {error}"))
        own.on("request", lambda request: own.requested.append(request.url))
        own.clock.set_fixed_time(now.replace(tzinfo=UTC))
        own.goto(file.as_uri())
        return own

    yield open_page
    for context in contexts:
        context.close()


def read(page, selector) -> list[str]:
    return [" ".join(text.replace("\u2212", "-").split()) for text in page.locator(selector).all_inner_texts()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_without_error_request_or_sideways_scrolling(opened, size, scheme, file):
    page = opened(size, color_scheme=scheme)
    for box in page.locator("details").all():
        box.evaluate("own => { own.open = true }")
    assert page.said == []
    assert [url for url in page.requested if url not in (file.as_uri(), "data:,")] == []
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]
    # nothing sticks out but what scrolls in a box of its own
    assert (
        page.evaluate(
            "[...document.body.querySelectorAll('*')].filter(own => !own.closest('.box, svg, .hidden, .cards thead') "
            "&& own.getBoundingClientRect().right > innerWidth + 1).map(own => own.outerHTML.slice(0, 99))"
        )
        == []
    )
    assert page.locator(".fan svg:visible").count() == 1
    # charts are readable: their text, 12 px as drawn, is not made much smaller
    scales = "[...document.querySelectorAll('svg')].map(own => own.getScreenCTM().a).filter(Boolean)"
    assert all(0.75 < scale < 1.4 for scale in page.evaluate(scales))


def test_it_opens_within_a_second(browser, file):
    page, times = browser.new_page(), []
    for _ in range(3):  # the best of three, since other processes may be busy
        page.goto(file.as_uri())
        times.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    page.close()
    assert min(times) < 1000


CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = (colour) => { const [r, g, b] = rgb(colour).slice(0, 3).map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const ground = (own) => { for (let at = own; at; at = at.parentElement) { const colour = getComputedStyle(at).backgroundColor; if (rgb(colour)[3]) return colour; } return "white"; };
  const found = [];
  for (const own of document.body.querySelectorAll("*")) {
    if (own.closest("script, noscript, option, [hidden]") || ![...own.childNodes].some((node) => node.nodeType === 3 && node.data.trim())) continue;
    const style = getComputedStyle(own);
    const [a, b] = [light(own.closest("svg") ? style.fill : style.color), light(ground(own))].sort((one, other) => other - one);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`${((a + 0.05) / (b + 0.05)).toFixed(2)}: ${own.outerHTML.slice(0, 80)}`);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(opened, scheme):
    assert opened(color_scheme=scheme).evaluate(CONTRAST) == []


@pytest.mark.parametrize(
    ("days", "age", "banner"),
    [
        (0, "newest session", None),
        (2.9, "newest session", None),  # Monday evening, before the cut-off
        (3, "1 session", None),
        (4, "2 sessions", "Stale. The newest session is Fri 15 Mar 2024. Since then, 2 sessions have closed"),
        (
            17,
            "10 sessions",
            "Stale. The newest session is Fri 15 Mar 2024. Since then, 10 sessions",
        ),  # Good Friday had none
        (
            400,
            "at least 119 sessions",
            "Stale. The newest session is Fri 15 Mar 2024. Since then, at least 119 sessions",
        ),
        (-2, "in the future", "Dated ahead. The newest session, Fri 15 Mar 2024, is later than the clock"),
    ],
)
def test_stale_data_are_reported_against_the_calendar(opened, days, age, banner):
    page = opened(now=NOW + timedelta(days=days) - timedelta(hours=0.4))
    assert read(page, "#age") == [age]
    shown = page.locator("#stale")
    assert shown.is_visible() == (banner is not None)
    assert read(page, "#stale")[0].startswith(banner or "")


@pytest.mark.parametrize(
    ("size", "unit", "side", "level"),
    [
        (10, "contracts", "buyer", 51.0),
        (2.5, "contracts", "holder", 49.25),
        (1_000_000, "pounds", "buyer", 48.0),
        (0, "pounds", "holder", 55.0),
    ],
)
def test_the_position_equals_pythons(opened, size, unit, side, level):
    page = opened()
    page.select_option("#unit", unit)
    page.fill("#size", str(size))
    page.select_option("#side", side)
    page.fill("#level", str(level))
    contracts = size if unit == "contracts" else size / 60_000
    assert read(page, "#position-size")[0].startswith(f"{contracts:,.2f} contracts, {contracts * 60_000:,.0f} lb")

    risk = small.risk()
    for days in CODES:
        own = risk[(risk["horizon_days"] == days) & (risk["side"] == side)].set_index("measure")["value"]
        shown = read(page, f"#position-losses tr[data-horizon='{days}'] td")
        assert [float(text.replace(",", "")) for text in shown] == pytest.approx(
            [own[name] * USD * contracts for name in position.LOSSES], abs=0.51
        )

        paths = small.paths().loc[lambda rows, days=days: rows["horizon_days"] == days, "price"]
        quantiles = np.quantile(paths, position.LEVELS)
        below = float(np.interp(level, quantiles, position.LEVELS, left=0, right=1))
        assert below == pytest.approx((paths < level).mean(), abs=0.0101)  # what the page carries is close to the paths
        shown = read(page, f"#position-level tr[data-horizon='{days}'] td")
        assert shown == [" ".join(formats.chance(share).split()) for share in (1 - below, below)]
    sign = 1 if side == "holder" else -1
    levels = [float(one.replace(",", "")) for one in read(page, "#position-levels td[data-measure=result]")]
    assert levels == pytest.approx([sign * (own - 50) * USD * contracts for own in small.PRICE_LEVELS], abs=0.51)
    assert (
        f"result {sign * (level - 50) * USD * contracts:z,.0f} USD".replace("-0", "0") in read(page, "#level-result")[0]
    )
    assert page.said == []


def test_another_unit_keeps_the_position(opened):
    page = opened()
    losses = read(page, "#position-losses td")
    for unit, size in (("pounds", "600000"), ("contracts", "10")):
        page.select_option("#unit", unit)
        assert page.input_value("#size") == size
        assert read(page, "#position-losses td") == losses


@pytest.mark.parametrize("size", ["", "-3"])
def test_a_position_without_a_size_has_no_numbers(opened, size):
    page = opened()
    page.evaluate(
        "size => { const own = document.getElementById('size'); own.value = size; own.dispatchEvent(new Event('input', {bubbles: true})) }",
        size,
    )
    assert read(page, "#position-size") == ["Enter a size of zero or more."]
    assert set(read(page, "#position-losses td")) == {"\u2013"}
    assert page.said == []


def test_the_keyboard_reaches_what_the_pointer_shows(opened):
    page = opened()
    page.locator(".fan").focus()
    page.keyboard.press("ArrowRight")
    assert read(page, "#note") == ["Fri 15 Mar 2024 close 50.00"]
    page.keyboard.press("ArrowRight")
    row = small.forecast_rows().iloc[0]
    assert read(page, "#note")[0] == (
        f"1 week, Fri 22 Mar 2024 90 %: {row.p05:.2f} to {row.p95:.2f} 80 %: {row.p10:.2f} to {row.p90:.2f} 50 %: {row.p25:.2f} to {row.p75:.2f} "
        f"median {row.p50:.2f}, chance of higher 41 % “no change” 80 %: {row.reference_p10:.2f} to {row.reference_p90:.2f}"
    )
    page.keyboard.press("Escape")
    assert not page.locator("#note").is_visible()

    page.locator("#tournament table").first.focus()
    notes = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
        notes += read(page, "#note")
    assert [note.split(" ", 4)[-1].split(" in ")[-1] for note in notes] == [
        "crush at 1w",
        "fx at 1w",
        "fx at 1w",
        "crush at 1w",
    ]
    page.locator("#drivers figure").first.focus()
    page.keyboard.press("ArrowRight")
    assert read(page, "#note")[0].endswith("cents/lb")


@pytest.mark.parametrize("size", SIZES)
def test_pointer_and_finger_show_the_value_under_them(opened, size):
    page = opened(size)
    svg = page.locator(".fan svg:visible")
    svg.scroll_into_view_if_needed()
    box = svg.bounding_box()
    at = (box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.touchscreen.tap(*at) if size == "phone" else page.mouse.move(*at)
    assert "close" in read(page, "#note")[0]
    cell = page.locator("#tournament td[data-note]").first
    cell.scroll_into_view_if_needed()
    cell.tap() if size == "phone" else cell.hover()
    assert cell.get_attribute("data-note") in read(page, "#note")[0]
    edges = page.locator("#note").bounding_box()
    assert edges["x"] >= 0
    assert edges["x"] + edges["width"] <= SIZES[size][0]


def test_it_prints_without_what_needs_a_screen(opened):
    page = opened()
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator(".fan svg:visible").count() == 1
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_charts_follow_the_colour_scheme(opened):
    colours = [
        opened(color_scheme=scheme).locator(".wide .closes_marks path").evaluate("own => getComputedStyle(own).stroke")
        for scheme in ("light", "dark")
    ]
    assert len(set(colours)) == 2
