"use strict";
(() => {
  const length = Number(document.body.dataset.length);
  const offset = Number(document.body.dataset.offset);
  const film = document.getElementById("film");
  const slider = document.getElementById("place");
  const clock = document.getElementById("clock");
  const words = [...document.querySelectorAll(".words button")];
  const told = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}.${Math.floor((s * 10) % 10)}`;
  const show = (now) => {
    document.documentElement.style.setProperty("--at", length ? Math.min(1, now / length) : 0);
    slider.value = now;
    slider.setAttribute("aria-valuetext", `${told(now)} of ${told(length)}`);
    clock.textContent = `${told(now)} / ${told(length)}`;
    for (const word of words)
      word.classList.toggle("now", now >= Number(word.dataset.at) && now < Number(word.dataset.end));
  };
  const seek = (to) => {
    const now = Math.max(0, Math.min(length, to));
    if (film) film.currentTime = now + offset;
    show(now);
  };
  document.addEventListener("click", (event) => {
    const timed = event.target.closest("[data-at]");
    const lane = event.target.closest(".lane");
    if (timed) { if (timed.dataset.at) seek(Number(timed.dataset.at)); }
    else if (lane) {
      const box = lane.getBoundingClientRect();
      seek(((event.clientX - box.left) / box.width) * length);
    }
  });
  slider.addEventListener("input", () => seek(Number(slider.value)));
  // One stop of the tab key for all words, arrows between them.
  const box = document.querySelector(".words");
  if (box) box.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const here = words.indexOf(document.activeElement);
    const next = event.key === "Home" ? 0 : event.key === "End" ? words.length - 1 : step ? here + step : -1;
    if (here < 0 || !words[next]) return;
    event.preventDefault();
    words[here].tabIndex = -1;
    words[next].tabIndex = 0;
    words[next].focus();
  });
  if (film) {
    const follow = () => { show(film.currentTime - offset); if (!film.paused) requestAnimationFrame(follow); };
    for (const name of ["play", "seeked", "timeupdate", "pause"]) film.addEventListener(name, follow);
  }
  show(0);
})();
