// What the page computes when it is opened: the age of the data, a position in USD, and values under pointer or arrow keys.
(() => {
  "use strict";
  const numbers = JSON.parse(document.getElementById("numbers").textContent);
  const find = (id) => document.getElementById(id);
  const MINUS = "\u2212", NBSP = "\u00a0", MISSING = "–", CUT_OFF_HOUR = 23, DAY = 86400000;
  const CALENDAR_END = Date.parse(numbers.forecast.at(-1).target_date);

  // ---------- formats, as in formats.py
  const fixed = (value, decimals) => {
    const text = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    return value < 0 && Number(text.replaceAll(",", "")) !== 0 ? MINUS + text : text;
  };
  const usd = (value) => (value === null || !Number.isFinite(value) ? MISSING : fixed(value, 0));
  const chance = (share) => {
    if (share === null || !Number.isFinite(share)) return MISSING;
    if (share < 0.005) return `<1${NBSP}%`;
    return share > 0.995 ? `>99${NBSP}%` : `${fixed(100 * share, 0)}${NBSP}%`;
  };
  const day = (iso) => new Date(`${iso}T00:00:00Z`).toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric", timeZone: "UTC" }).replace(",", "");

  // ---------- fresh or stale: sessions that have closed since the newest one in the data, up to the end of the page's calendar
  const closedSince = (asOf, now) => {
    const closed = new Set(numbers.closed_days);
    // a session counts from 23:00 UTC on, the cut-off in Chicago at the latest
    const last = Math.min(Math.floor((now - CUT_OFF_HOUR * 3600000) / DAY) * DAY, CALENDAR_END);
    let count = 0;
    for (let time = Date.parse(asOf) + DAY; time <= last; time += DAY) {
      const date = new Date(time);
      if (date.getUTCDay() % 6 && !closed.has(date.toISOString().slice(0, 10))) count += 1;
    }
    return count;
  };
  const showAge = () => {
    const asOf = numbers.as_of_date, now = Date.now(), missed = closedSince(asOf, now), isAhead = now < Date.parse(asOf);
    const sessions = `${now - CALENDAR_END > 2 * DAY ? "at least " : ""}${fixed(missed, 0)} sessions`;
    find("age").textContent = isAhead ? "in the future" : missed === 0 ? "newest session" : missed === 1 ? "1 session" : sessions;
    if (!isAhead && missed < 2) return;
    const [head, body] = find("stale").children;
    head.textContent = isAhead ? "Dated ahead." : "Stale.";
    body.textContent = isAhead
      ? `The newest session, ${day(asOf)}, is later than the clock of this device.`
      : `The newest session is ${day(asOf)}. Since then, ${sessions} have closed, so the price and all ranges below are out of date.`;
    find("stale").hidden = false;
  };

  // ---------- my position
  const below = (prices, price) => {
    const n = prices.length;  // quantiles at levels 1/(n+1) ... n/(n+1)
    if (price < prices[0]) return 0;
    if (price >= prices[n - 1]) return 1;
    let right = 1;
    while (prices[right] <= price) right += 1;
    return (right + (price - prices[right - 1]) / (prices[right] - prices[right - 1])) / (n + 1);
  };
  const showPosition = () => {
    const size = find("size").valueAsNumber, side = find("side").value, level = find("level").valueAsNumber;
    const valid = Number.isFinite(size) && size >= 0;
    const contracts = valid ? (find("unit").value === "pounds" ? size / numbers.pounds_per_contract : size) : NaN;
    const unit = contracts * numbers.usd_per_cent_and_contract, last = numbers.forecast[0].last_price;
    const result = (price) => (side === "buyer" ? last - price : price - last) * unit;
    find("position-size").textContent = valid
      ? `${fixed(contracts, 2)} contracts, ${fixed(contracts * numbers.pounds_per_contract, 0)} lb: 1 cent/lb is ${usd(unit)} USD.`
      : "Enter a size of zero or more.";
    for (const row of find("position-losses").rows) {
      const own = numbers.losses.find((loss) => String(loss.horizon_days) === row.dataset.horizon && loss.side === side);
      for (const cell of row.querySelectorAll("[data-measure]")) {
        const value = own ? own[cell.dataset.measure] : null;
        cell.textContent = value === null ? MISSING : usd(value * unit);
      }
    }
    const isLevel = Number.isFinite(level) && level > 0;
    find("level-result").textContent = isLevel ? `${fixed(level, 2)} cents/lb, result ${usd(result(level))} USD` : "enter a price";
    for (const row of find("position-level").rows) {
      const own = numbers.distribution.find((one) => String(one.horizon_days) === row.dataset.horizon);
      const share = own && isLevel ? below(own.prices, level) : null;
      row.querySelector("[data-measure=above]").textContent = chance(share === null ? null : 1 - share);
      row.querySelector("[data-measure=below]").textContent = chance(share);
    }
    for (const cell of document.querySelectorAll("#position-levels [data-measure=result]")) {
      cell.textContent = usd(result(Number(cell.closest("tr").dataset.level)));
    }
  };

  // ---------- values under the pointer, a finger or the arrow keys
  const note = find("note");
  const hide = () => { note.hidden = true; document.querySelectorAll(".shown").forEach((one) => one.classList.remove("shown")); document.querySelectorAll(".cursor").forEach((one) => one.remove()); };
  const showAt = (text, box) => {
    note.textContent = text;
    note.hidden = false;
    const width = note.offsetWidth, room = document.documentElement.clientWidth;
    note.style.left = `${scrollX + Math.max(8, Math.min(box.left + box.width / 2 - width / 2, room - width - 8))}px`;
    note.style.top = `${scrollY + (box.top > note.offsetHeight + 12 ? box.top - note.offsetHeight - 8 : box.bottom + 8)}px`;
  };
  const text = (mark) => {
    if (mark.tagName !== "TD") return mark.getAttribute("aria-label");
    const table = mark.closest("table"), heads = [mark.closest("tr").cells[0], table.tHead.rows[0].cells[mark.cellIndex]];
    return `${heads.concat(table.caption || []).map((head) => head.textContent).join(", ")}\n${mark.dataset.note}`;
  };
  const showMark = (mark) => { hide(); mark.classList.add("shown"); showAt(text(mark), mark.getBoundingClientRect()); };

  const fanPoints = numbers.closes.map(([date, close]) => ({ date, text: `${day(date)}\nclose ${fixed(close, 2)}` })).concat(
    numbers.forecast.map((row) => ({
      date: row.target_date,
      text: `${row.label}, ${day(row.target_date)}\n90 %: ${fixed(row.p05, 2)} to ${fixed(row.p95, 2)}\n80 %: ${fixed(row.p10, 2)} to ${fixed(row.p90, 2)}\n50 %: ${fixed(row.p25, 2)} to ${fixed(row.p75, 2)}\nmedian ${fixed(row.p50, 2)}, chance of higher ${chance(row.prob_up)}\n“no change” 80 %: ${fixed(row.reference_p10, 2)} to ${fixed(row.reference_p90, 2)}`,
    })));
  const fan = (figure) => {
    const chart = () => [...figure.querySelectorAll("svg")].find((one) => one.getBoundingClientRect().width > 0);
    const scale = (svg) => {
      const [start, end] = svg.dataset.days.split(" ").map((one) => Date.parse(one)), [width, height] = svg.dataset.plot.split(" ").map(Number);
      const root = svg.querySelector(".root"), matrix = root.getScreenCTM();
      return { root, height, matrix, width, start, x: (date) => ((Date.parse(date) - start) / (end - start)) * width };
    };
    const points = () => { const { start } = scale(chart()); return fanPoints.filter((point) => Date.parse(point.date) >= start); };
    const show = (point) => {
      hide();
      const { root, height, matrix, x } = scale(chart()), place = x(point.date);
      const line = document.createElementNS(root.namespaceURI, "line");
      for (const [name, value] of Object.entries({ class: "cursor", x1: place, x2: place, y1: 0, y2: height })) line.setAttribute(name, value);
      root.append(line);
      const left = matrix.a * place + matrix.e, top = matrix.f + matrix.d * 12;
      showAt(point.text, { left, width: 0, top, bottom: top });
    };
    const nearest = (event) => {
      const { matrix, x } = scale(chart()), place = (event.clientX - matrix.e) / matrix.a;
      return points().reduce((best, point) => (Math.abs(x(point.date) - place) < Math.abs(x(best.date) - place) ? point : best));
    };
    figure.addEventListener("pointermove", (event) => { if (event.target.closest("svg")) show(nearest(event)); });
    figure.addEventListener("click", (event) => { if (event.target.closest("svg")) show(nearest(event)); });
    return { items: points, show, first: () => numbers.closes.length - 1 - (numbers.closes.length + numbers.forecast.length - points().length) };
  };
  const marks = (box) => {
    const items = () => [...box.querySelectorAll("[data-note], path[aria-label]")].filter((one) => one.getBoundingClientRect().width > 0);
    const under = (event) => event.target.closest("[data-note], path[aria-label]");
    for (const type of ["pointermove", "click"]) box.addEventListener(type, (event) => { const mark = under(event); if (mark) showMark(mark); else hide(); });
    return { items, show: showMark, first: () => 0 };
  };
  for (const box of document.querySelectorAll("[data-explore]")) {
    const own = box.dataset.explore === "fan" ? fan(box) : marks(box);
    let at = null;
    box.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") hide(); });
    box.addEventListener("blur", hide);
    box.addEventListener("keydown", (event) => {
      if (event.target !== box) return;
      if (event.key === "Escape") return hide();
      const items = own.items(), step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step || !items.length) return;
      event.preventDefault();
      const isVertical = box.tagName === "TABLE" && /Up|Down/.test(event.key);
      let next = at === null ? own.first() : at + step;
      while (at !== null && isVertical && items[next] && items[next].cellIndex !== items[at].cellIndex) next += step;
      if (items[next]) at = next;
      own.show(items[at]);
    });
  }

  showAge();
  if (find("position-form")) {
    find("unit").addEventListener("change", () => {  // the same position in the other unit
      const size = find("size").valueAsNumber, pounds = numbers.pounds_per_contract;
      if (Number.isFinite(size)) find("size").value = find("unit").value === "pounds" ? size * pounds : size / pounds;
      showPosition();
    });
    find("position-form").addEventListener("input", showPosition);
    find("position-form").addEventListener("submit", (event) => event.preventDefault());
    showPosition();
  }
})();
