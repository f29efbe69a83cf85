// The slider of a picture grid: swaps pre-rendered pictures, and keeps its position in the address
// (report.html#k=4).
for (const grid of document.querySelectorAll("figure.pictures")) {
  const slider = grid.querySelector("input"), label = grid.querySelector("output");
  if (!slider) continue;
  const data = JSON.parse(grid.querySelector("script").textContent);
  const images = Array.from(grid.querySelectorAll("img[data-picture]"));
  const captions = Array.from(grid.querySelectorAll("[data-sample]"));
  function show(index) {
    slider.value = index;
    label.textContent = data.texts[index];
    slider.setAttribute("aria-valuetext", data.texts[index]);
    for (const image of images) {
      const picture = data.pictures[image.dataset.picture];
      image.src = picture.images[index];
      image.alt = picture.alts[index];
    }
    for (const caption of captions) caption.textContent = data.samples[caption.dataset.sample][index];
  }
  function fromAddress() {
    const [name, value] = window.location.hash.slice(1).split("=");
    const index = name === data.name ? data.values.indexOf(Number(value)) : -1;
    show(index >= 0 ? index : data.values.length - 1);
  }
  slider.addEventListener("input", function () {
    show(Number(slider.value));
    const address = "#" + data.name + "=" + data.values[slider.value];
    try { history.replaceState(null, "", address); } catch (e) { /* file:// */ }
  });
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
}

// A film: a slider, a button, stills and a click on a lane move through its frames.
for (const film of document.querySelectorAll("figure.film")) {
  const data = JSON.parse(film.querySelector("script").textContent), last = data.steps.length - 1;
  const slider = film.querySelector("input"), button = film.querySelector(".control button");
  const screen = film.querySelector(".screen"), stills = Array.from(film.querySelectorAll(".still"));
  const label = film.querySelector("output"), now = film.querySelector(".now");
  let timer = 0;
  function show(frame) {
    const [step, lanes] = data.texts[frame], all = step + "; " + lanes;
    slider.value = frame;
    slider.setAttribute("aria-valuetext", all);
    screen.style.backgroundPosition = data.places[frame];
    screen.setAttribute("aria-label", all);
    label.textContent = step;
    now.textContent = lanes;
    for (const cursor of film.querySelectorAll(".cursor"))
      cursor.style.left = 100 * (data.steps[frame] + 0.5) / data.length + "%";
    const reached = stills.filter(function (still) { return Number(still.dataset.frame) <= frame; });
    for (const still of stills)
      still.setAttribute("aria-current", still === reached[reached.length - 1]);
  }
  function pause() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  }
  function go(frame) {
    pause();
    show(frame);
  }
  button.addEventListener("click", function () {
    if (timer) return pause();
    if (Number(slider.value) === last) show(0);
    button.textContent = "Pause";
    timer = setInterval(function () {
      if (Number(slider.value) >= last) return pause();
      show(Number(slider.value) + 1);
    }, 1000 / data.fps);
  });
  slider.addEventListener("input", function () { go(Number(slider.value)); });
  for (const still of stills)
    still.addEventListener("click", function () { go(Number(still.dataset.frame)); });
  for (const track of film.querySelectorAll(".track"))
    track.addEventListener("click", function (event) {
      const place = track.getBoundingClientRect();
      const step = data.length * (event.clientX - place.left) / place.width;
      const later = data.steps.findIndex(function (one) { return one > step; });
      go(later < 0 ? last : Math.max(0, later - 1));
    });
  film.querySelector(".control").hidden = false;
  show(0);
}
