// Sliders of one name ("k") move together, and keep their position in the address (report.html#k=4).
const followers = [];
function named(slider, label, data, show) {
  let at = -1;
  function set(index) {
    if (index === at) return;
    at = index;
    if (slider) slider.value = index;
    if (slider) label.textContent = data.texts[index];
    if (slider) slider.setAttribute("aria-valuetext", data.texts[index]);
    show(index);
  }
  followers.push(function (name, value) {
    if (name !== data.name || !Number.isFinite(value)) return;
    let index = 0;  // The last one that is not above.
    data.values.forEach(function (one, place) { if (one <= value) index = place; });
    set(index);
  });
  if (slider) slider.addEventListener("input", function () {
    const value = data.values[slider.value];
    for (const follow of followers) follow(data.name, value);
    try { history.replaceState(null, "", "#" + data.name + "=" + value); } catch (e) { /* file:// */ }
  });
  set(data.values.length - 1);
}
function fromAddress() {
  const [name, value] = window.location.hash.slice(1).split("=");
  for (const follow of followers) follow(name, Number(value || NaN));
}
window.addEventListener("hashchange", fromAddress);

// Frames one after another: a slider and a button. Returns what shows one of them and stops playing.
function player(slider, button, last, fps, show) {
  let timer = 0;
  function pause() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  }
  function at(frame) {
    slider.value = frame;
    show(frame);
  }
  button.addEventListener("click", function () {
    if (timer) return pause();
    if (Number(slider.value) === last) at(0);
    button.textContent = "Pause";
    timer = setInterval(function () {
      if (Number(slider.value) >= last) return pause();
      at(Number(slider.value) + 1);
    }, 1000 / fps);
  });
  slider.addEventListener("input", function () { go(Number(slider.value)); });
  function go(frame) {
    pause();
    at(frame);
  }
  at(0);
  return go;
}

// A picture grid: its slider swaps pre-rendered pictures.
for (const grid of document.querySelectorAll("figure.pictures")) {
  const slider = grid.querySelector("input"), label = grid.querySelector("output");
  if (!slider) continue;
  const data = JSON.parse(grid.querySelector("script").textContent);
  const images = Array.from(grid.querySelectorAll("img[data-picture]"));
  const captions = Array.from(grid.querySelectorAll("[data-sample]"));
  named(slider, label, data, function (index) {
    for (const image of images) {
      const picture = data.pictures[image.dataset.picture];
      image.src = picture.images[index];
      image.alt = picture.alts[index];
    }
    for (const caption of captions) caption.textContent = data.samples[caption.dataset.sample][index];
  });
}

// A clip: a slider and a button move through its frames, another slider chooses what is shown of each.
for (const clip of document.querySelectorAll("figure.clip")) {
  const data = JSON.parse(clip.querySelector("script").textContent), last = data.steps.length - 1;
  const slider = clip.querySelector(".through"), button = clip.querySelector(".control button");
  const [label, chosen] = clip.querySelectorAll("output"), differ = clip.querySelector(".differ");
  const which = clip.querySelectorAll(".control")[1];
  const screens = Array.from(clip.querySelectorAll(".screen"));
  let frame = 0, position = data.values.length - 1;
  function show() {
    label.textContent = data.steps[frame];
    slider.setAttribute("aria-valuetext", data.steps[frame]);
    screens.forEach(function (screen, place) {
      const of = data.screens[place], version = of.shown[position], note = of.notes[version][frame];
      const text = screen.parentNode.querySelector("p");
      screen.classList.remove(...of.classes);
      screen.classList.add(of.classes[version]);
      for (const shot of [screen, ...screen.children]) shot.style.backgroundPosition = data.places[frame];
      text.querySelector("b").textContent = note;
      screen.setAttribute("aria-label", text.textContent);
    });
  }
  named(which && which.querySelector("input"), chosen, data, function (index) {
    position = index;
    show();
  });
  player(slider, button, last, data.fps, function (index) {
    frame = index;
    show();
  });
  if (differ) differ.addEventListener("change", function () {
    clip.classList.toggle("errors", differ.checked);
  });
  for (const control of clip.querySelectorAll(".control")) control.hidden = false;
}
fromAddress();

// A film: a slider, a button, stills and a click on a lane move through its frames.
for (const film of document.querySelectorAll("figure.film")) {
  const data = JSON.parse(film.querySelector("script").textContent), last = data.steps.length - 1;
  const slider = film.querySelector("input"), button = film.querySelector(".control button");
  const screen = film.querySelector(".screen"), stills = Array.from(film.querySelectorAll(".still"));
  const label = film.querySelector("output"), now = film.querySelector(".now");
  const go = player(slider, button, last, data.fps, function (frame) {
    const [step, lanes] = data.texts[frame], all = step + "; " + lanes;
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
  });
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
}
