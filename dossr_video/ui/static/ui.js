"use strict";
// Keeps the marked parts of the page as the server has them, without losing focus, scrolling or a click.
(() => {
  const EVERY = 1000; // milliseconds
  const lost = document.querySelector("#lost"), news = document.querySelector("#news");

  // What has another id is another thing: a button that is pressed never becomes one that does something else.
  function morph(old, fresh) {
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) { old.replaceWith(fresh); return; }
    if (old.nodeType === Node.TEXT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    if (old.nodeType !== Node.ELEMENT_NODE) return;
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    morphAll(old, fresh);
  }

  function morphAll(old, fresh) {
    const before = [...old.childNodes], after = [...fresh.childNodes];
    after.forEach((node, i) => before[i] ? morph(before[i], node) : old.append(node));
    before.slice(after.length).forEach((node) => node.remove());
  }

  const states = (part) => new Map([...part.querySelectorAll("[data-state]")].map((e) => [e.id, e.dataset]));

  function tell(before, part) {
    for (const [id, { state, name }] of states(part))
      if (before.has(id) && before.get(id) !== state) news.textContent = `${name}: ${state}`;
  }

  async function refresh(part) {
    try {
      const answer = await fetch(part.dataset.refresh);
      if (answer.ok) {
        const fresh = document.createElement("div");
        const before = new Map([...states(part)].map(([id, { state }]) => [id, state]));
        fresh.innerHTML = await answer.text();
        morphAll(part, fresh);
        tell(before, part);
      }
      lost.hidden = answer.ok || answer.status !== 403;
    } catch {
      lost.hidden = false;
    }
    setTimeout(refresh, EVERY, part);
  }
  for (const part of document.querySelectorAll("[data-refresh]")) setTimeout(refresh, EVERY, part);

  // A clip that was not read yet is read at once.
  const read = document.querySelector("#read[data-first]");
  if (read) read.click();

  const drop = document.querySelector(".drop");
  if (!drop) return;
  const input = drop.querySelector("input"), told = drop.querySelector("#upload"), bar = drop.querySelector("#uploaded");
  let running = null;

  function fail(message) {
    running = null;
    bar.hidden = true;
    told.className = "bad";
    told.textContent = message;
  }

  function refused(text) {
    let answer = {};
    try { answer = JSON.parse(text); } catch { /* another answer than ours */ }
    fail(answer.message ? `${answer.message}; ${answer.hint}` : "it was refused: load the page again");
  }

  async function upload(file) {
    if (running) return;
    running = new XMLHttpRequest();
    told.className = "";
    told.textContent = `copying ${file.name}`;
    const address = `${drop.dataset.upload}&name=${encodeURIComponent(file.name)}`;
    try {
      const answer = await fetch(`${address}&size=${file.size}`);
      if (!answer.ok) { refused(await answer.text()); return; }
    } catch {
      fail("the page does not answer");
      return;
    }
    bar.hidden = false;
    running.upload.onprogress = (event) => { bar.value = event.loaded / (event.total || 1); };
    running.onerror = () => fail(`${file.name} did not arrive: the page does not answer`);
    running.onload = () => {
      if (running.status === 200) location.assign(JSON.parse(running.responseText).next);
      else refused(running.responseText);
    };
    running.open("POST", address);
    running.setRequestHeader("X-Form-Token", drop.dataset.token);
    running.send(file);
  }

  input.addEventListener("change", () => { if (input.files[0]) upload(input.files[0]); });
  addEventListener("beforeunload", (event) => { if (running && running.readyState < 4) event.preventDefault(); });
  for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
  drop.addEventListener("dragover", () => drop.classList.add("over"));
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    drop.classList.remove("over");
    if (event.dataTransfer.files[0]) upload(event.dataTransfer.files[0]);
  });
})();
