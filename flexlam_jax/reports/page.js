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
