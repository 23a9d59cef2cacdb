// One tab on the canvas page, and words for what a visitor sees and does there.

export class CanvasTab {
  /** Messages that came in, and sockets opened, over the life of the tab. */
  heard = [];
  sockets = 0;

  constructor(page) {
    this.page = page;
    this.sheet = page.getByRole("application", { name: "Shared sheet" });
    this.people = page.getByRole("list", { name: "Who is here" });
    this.freeSeats = this.people.getByText("free seat");
    this.cursors = page.locator(".cursor");
    this.notes = page.getByRole("log", { name: "Notes" });
    page.on("websocket", (socket) => {
      this.sockets += 1;
      socket.on("framereceived", ({ payload }) => this.heard.push(JSON.parse(payload)));
    });
  }

  /** Opens the page on a board, under the given name if there is one, and waits for its seat. */
  static async open(page, url, { board, name }) {
    const tab = new CanvasTab(page);
    await page.addInitScript((given) => {
      if (given && sessionStorage.getItem("name") === null) sessionStorage.setItem("name", given);
    }, name);
    await page.goto(`${url}canvas/#${board}`);
    await tab.isConnected();
    if (name) await tab.person(name).getByText("you", { exact: true }).waitFor();
    return tab;
  }

  async isConnected() {
    await this.page.locator(`html[data-connection="open"]`).waitFor({ state: "attached" });
    await this.people.getByText("you", { exact: true }).waitFor();
  }

  shard() {
    return this.page.locator("html").getAttribute("data-shard");
  }

  clientId() {
    return this.page.locator("li.is-self").getAttribute("data-id");
  }

  /** The name and colour this tab goes by. */
  async look() {
    return {
      name: await this.page.getByLabel("Your name").inputValue(),
      colour: await this.page.locator("#colours input:checked").inputValue(),
    };
  }

  person(name) {
    return this.people.getByRole("listitem").filter({ hasText: name });
  }

  shardRow(name, count) {
    return this.page.getByRole("list", { name: "Shards" }).getByRole("listitem")
      .filter({ hasText: name }).filter({ hasText: count });
  }

  cursor(name) {
    return this.cursors.filter({ hasText: name });
  }

  /** Waits for a note that says this. It stands for seconds only, so wait while what it tells of is done. */
  async note(text) {
    await this.notes.getByText(text).waitFor();
  }

  async rename(name) {
    const field = this.page.getByLabel("Your name");
    await field.fill(name);
    await field.press("Enter");
  }

  async waveTo(name) {
    await this.page.getByRole("button", { name: `Wave to ${name}` }).click();
  }

  /** Moves the pointer to a place on the sheet, in fractions of its size. */
  async point(x, y, options) {
    const box = await this.sheet.boundingBox();
    await this.page.mouse.move(box.x + x * box.width, box.y + y * box.height, options);
  }

  async tap(x, y) {
    await this.point(x, y);
    await this.page.mouse.down();
    await this.page.mouse.up();
  }

  async draw(from, to) {
    await this.point(...from);
    await this.page.mouse.down();
    await this.point(...to, { steps: 10 });
    await this.page.mouse.up();
  }

  async cursorAt(name, x, y) {
    await this.page.waitForFunction(({ name, x, y }) => {
      const sheet = document.getElementById("sheet").getBoundingClientRect();
      return [...document.querySelectorAll(".cursor")].some((cursor) => {
        const { left, top } = cursor.getBoundingClientRect();
        return cursor.textContent.includes(name)
          && Math.abs(left - sheet.left - x * sheet.width) < 2
          && Math.abs(top - sheet.top - y * sheet.height) < 2;
      });
    }, { name, x, y });
  }

  async rippleAt(x, y) {
    await this.page.waitForFunction(({ x, y }) => {
      return [...document.querySelectorAll(".ripple")].some(({ style }) => {
        return Math.abs(parseFloat(style.left) - x * 100) < 0.5
          && Math.abs(parseFloat(style.top) - y * 100) < 0.5;
      });
    }, { x, y });
  }

  inkAt(x, y) {
    return this.page.waitForFunction(hasInk, { x, y, wanted: true });
  }

  noInkAt(x, y) {
    return this.page.waitForFunction(hasInk, { x, y, wanted: false });
  }
}

/** Runs in the page: whether there is ink close to a place, or whether there is none. */
function hasInk({ x, y, wanted }) {
  const canvas = document.getElementById("ink");
  const size = 8;
  const [left, top] = [x * canvas.width - size / 2, y * canvas.height - size / 2].map(Math.round);
  // A copy: the browser would complain about reading the page's own canvas again and again.
  const copy = new OffscreenCanvas(size, size).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, -left, -top);
  const { data } = copy.getImageData(0, 0, size, size);
  return data.some((value, i) => i % 4 === 3 && value > 128) === wanted;
}
