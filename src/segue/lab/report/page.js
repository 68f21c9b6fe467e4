"use strict";
// The button for light and dark, and the line that runs over the time line while a recording plays.
(() => {
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const dark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const name = () => { button.textContent = dark() ? "light" : "dark"; };
  button.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; name(); });
  button.hidden = false;
  name();

  const lines = [...document.querySelectorAll("svg.time-line")];
  const sounds = [...document.querySelectorAll("audio[data-at]")];
  const show = (seconds) => lines.forEach((svg) => {
    const { begin, end, seconds: whole } = svg.dataset;
    const x = +begin + (+end - +begin) * Math.min(1, Math.max(0, seconds / +whole));
    const head = svg.querySelector(".playhead");
    head.setAttribute("x1", x);
    head.setAttribute("x2", x);
    head.style.visibility = "visible";
  });
  let playing = null;
  const follow = () => {
    if (!playing || playing.paused) return;
    show(+playing.dataset.at + playing.currentTime);
    requestAnimationFrame(follow);
  };
  sounds.forEach((sound) => {
    sound.addEventListener("play", () => {
      sounds.forEach((other) => { if (other !== sound) other.pause(); });
      playing = sound;
      follow();
    });
    sound.addEventListener("seeked", () => show(+sound.dataset.at + sound.currentTime));
  });
  lines.forEach((svg) => svg.addEventListener("click", (event) => {
    const sound = playing || sounds[0];
    if (!sound) return;
    const box = svg.getBoundingClientRect();
    const { begin, end, seconds } = svg.dataset;
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const at = (x - begin) / (end - begin) * seconds;
    sound.currentTime = Math.max(0, at - sound.dataset.at);
    show(at);
  }));
})();
