// The slider over k: swaps pre-rendered pictures, and keeps k in the address (report.html#k=4).
(function () {
  const data = JSON.parse(document.getElementById("picture-data").textContent);
  const slider = document.getElementById("k"), label = document.getElementById("k-value");
  if (!slider) return;
  const images = Array.from(document.querySelectorAll("img[data-kind]"));
  const captions = Array.from(document.querySelectorAll("[data-psnr]"));
  function show(index) {
    const k = data.budgets[index];
    slider.value = index;
    const words = "k = " + k + " of " + data.slots;
    label.textContent = words;
    slider.setAttribute("aria-valuetext", words);
    for (const image of images) {
      const kind = image.dataset.kind, row = image.dataset.row;
      image.src = data[kind][index][row];
      image.alt = (kind === "prediction" ? "reconstruction from " : "error of the reconstruction from ")
        + k + (k === 1 ? " slot" : " slots") + ", transition " + (Number(row) + 1);
    }
    for (const caption of captions) caption.textContent = data.psnr[index][caption.dataset.psnr];
  }
  function fromAddress() {
    const match = /^#k=(\d+)$/.exec(window.location.hash);
    const index = match ? data.budgets.indexOf(Number(match[1])) : -1;
    show(index >= 0 ? index : data.budgets.length - 1);
  }
  slider.addEventListener("input", function () {
    show(Number(slider.value));
    try { history.replaceState(null, "", "#k=" + data.budgets[slider.value]); } catch (e) { /* file:// */ }
  });
  window.addEventListener("hashchange", fromAddress);
  fromAddress();
})();
