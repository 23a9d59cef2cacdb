// Shows each page as a live miniature: the page itself in a frame, scaled down. A frame is loaded when it comes into view,
// because each one connects.

/** The width at which a page is laid out. */
const PAGE_WIDTH_PX = 1120;

const resized = new ResizeObserver((entries) => {
  for (const { target, contentRect } of entries) {
    target.firstElementChild?.style.setProperty("--scale", contentRect.width / PAGE_WIDTH_PX);
  }
});

const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    show(target);
  }
});

for (const miniature of document.querySelectorAll(".miniature")) seen.observe(miniature);

function show(miniature) {
  const frame = document.createElement("iframe");
  const { page, title } = miniature.dataset;
  frame.title = `${title}, live`;
  // It is a picture: the link beside it opens the page. An inert page takes neither focus nor clicks.
  frame.inert = true;
  frame.tabIndex = -1;
  frame.src = page;
  miniature.append(frame);
  resized.observe(miniature);
}
