"use strict";
(() => {
  const $ = (query) => document.querySelector(query);
  const stage = $(".stage"), split = $("#split"), left = $("#left"), right = $("#right");
  const stills = [...document.querySelectorAll(".still")], thumbs = [...document.querySelectorAll(".strip button")];
  const full = +stage.dataset.width, aspect = full / +stage.dataset.height;
  let now = 0, zoom = 0, x = 0, y = 0; // zoom: CSS pixels for each pixel of the largest file; 0: the whole picture

  const fit = () => stage.clientWidth / full;
  const scale = () => zoom || fit();

  function place() {
    const width = scale() * full, height = width / aspect;
    x = Math.min(0, Math.max(stage.clientWidth - width, x));
    y = Math.min(0, Math.max(stage.clientHeight - height, y));
    stage.style.setProperty("--shown", width + "px");
    stage.style.setProperty("--x", x + "px");
    stage.style.setProperty("--y", y + "px");
    stage.classList.toggle("zoomed", width > stage.clientWidth + 1);
    for (const button of document.querySelectorAll("[data-zoom]"))
      button.setAttribute("aria-pressed", Math.abs(+button.dataset.zoom - zoom * devicePixelRatio) < 0.01);
  }

  function zoomTo(next, atX = stage.clientWidth / 2, atY = stage.clientHeight / 2) {
    const before = scale();
    zoom = next && next <= fit() ? 0 : Math.min(next, 8);
    const ratio = scale() / before;
    x = atX - (atX - x) * ratio;
    y = atY - (atY - y) * ratio;
    place();
  }

  function divide(percent) {
    split.value = Math.min(100, Math.max(0, percent));
    stage.style.setProperty("--split", split.value + "%");
    split.setAttribute("aria-valuetext", Math.round(split.value) + " % " + left.selectedOptions[0].text);
    $(".tag.l").classList.toggle("gone", split.value < 12);
    $(".tag.r").classList.toggle("gone", split.value > 88);
  }

  function layer(pane, select, tag) {
    const picture = stills[now].querySelector(`img[data-layer="${select.value}"]`);
    pane.hidden = !picture;
    if (picture) { pane.src = picture.src; pane.alt = picture.alt; }
    tag.textContent = select.selectedOptions[0].text + (picture ? "" : ": has ended");
  }

  function show(next) {
    now = Math.min(stills.length - 1, Math.max(0, next));
    const still = stills[now];
    layer($(".pane.left img"), left, $(".tag.l"));
    layer($(".pane.right img"), right, $(".tag.r"));
    $("#where").textContent = still.querySelector("figcaption").textContent;
    $(".legend").hidden = !(left.value + right.value).includes("map");
    thumbs.forEach((thumb, i) => thumb.setAttribute("aria-current", i === now));
    const strip = $(".strip"), thumb = thumbs[now];
    strip.scrollLeft = thumb.offsetLeft - strip.offsetLeft - (strip.clientWidth - thumb.offsetWidth) / 2;
    for (const plot of document.querySelectorAll(".plot")) {
      const { begin, stop, end } = plot.dataset;
      plot.querySelector(".now").style.left = 100 * (+begin + (stop - begin) * still.dataset.seconds / end) + "%";
    }
  }

  const nearest = (seconds) => stills.reduce((best, still, i) =>
    Math.abs(still.dataset.seconds - seconds) < Math.abs(stills[best].dataset.seconds - seconds) ? i : best, 0);

  document.documentElement.classList.add("js");
  for (const select of [left, right]) select.addEventListener("change", () => show(now));
  split.addEventListener("input", () => divide(+split.value));
  for (const button of document.querySelectorAll("[data-zoom]"))
    button.addEventListener("click", () => zoomTo(button.dataset.zoom / devicePixelRatio));
  for (const button of document.querySelectorAll("[data-step]"))
    button.addEventListener("click", () => show(now + +button.dataset.step));
  thumbs.forEach((thumb, i) => thumb.addEventListener("click", () => show(i)));
  for (const plot of document.querySelectorAll(".plot"))
    plot.addEventListener("click", (event) => {
      const box = plot.getBoundingClientRect(), { begin, stop, end } = plot.dataset;
      show(nearest(((event.clientX - box.left) / box.width - begin) / (stop - begin) * end));
    });

  let held = null; // "line" or "picture" while the pointer is down
  stage.addEventListener("pointerdown", (event) => {
    held = stage.classList.contains("zoomed") && !event.target.closest(".divider") ? "picture" : "line";
    stage.setPointerCapture(event.pointerId);
    if (held === "line") move(event);
  });
  stage.addEventListener("pointermove", move);
  for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, () => { held = null; });
  function move(event) {
    if (held === "line") divide((event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth * 100);
    if (held === "picture") { x += event.movementX; y += event.movementY; place(); }
  }
  stage.addEventListener("dblclick", (event) => zoomTo(zoom ? 0 : 2 / devicePixelRatio, event.offsetX, event.offsetY));
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== stage) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoomTo(scale() * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });

  const steps = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  stage.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step) return;
    if (stage.classList.contains("zoomed")) { x += step[0] * 60; y += step[1] * 60; place(); }
    else if (step[0]) divide(+split.value - step[0] * 2);
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("select, input, video")) return;
    const act = {
      ",": () => show(now - 1), ".": () => show(now + 1), "+": () => zoomTo(scale() * 2), "=": () => zoomTo(scale() * 2),
      "-": () => zoomTo(scale() / 2), "0": () => zoomTo(0), "x": () => {
        [left.value, right.value] = [right.value, left.value];
        show(now);
      },
    }[event.key];
    if (act) { act(); event.preventDefault(); }
  });

  for (const film of document.querySelectorAll("video"))
    film.addEventListener("keydown", (event) => {
      const frame = 1 / 25, act = {
        ",": () => { film.pause(); film.currentTime -= frame; }, ".": () => { film.pause(); film.currentTime += frame; },
        "s": () => { film.playbackRate = film.playbackRate === 1 ? 0.25 : 1; },
      }[event.key];
      if (act && !event.ctrlKey && !event.metaKey && !event.altKey) { act(); event.preventDefault(); }
    });

  function follow() {
    const number = stills.findIndex((still) => "#" + still.id === location.hash);
    if (number >= 0) { show(number); $("#compare").scrollIntoView(); }
  }
  addEventListener("hashchange", follow);
  addEventListener("resize", place);
  show(0);
  divide(50);
  place();
  follow();
})();
