// A tab on the canvas page, and the actions of a visitor.

export class CanvasTab {
  /** Messages received and sockets opened during the life of the tab. */
  received = [];
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
      socket.on("framereceived", ({ payload }) => this.received.push(JSON.parse(payload)));
    });
  }

  /** Opens the page on a board, under `name` if it is given, and waits for a seat. */
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

  /** The name and colour of this tab. */
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

  /** Waits for a note with this text. A note disappears after seconds, so start waiting before the action. */
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

  /** Moves the pointer to a position on the sheet, in fractions of its size. */
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

/** Runs in the page: returns true if there is ink close to a position, or if there is none, as `wanted`. */
function hasInk({ x, y, wanted }) {
  const canvas = document.getElementById("ink");
  const size = 8;
  const [left, top] = [x * canvas.width - size / 2, y * canvas.height - size / 2].map(Math.round);
  // A copy, because the browser warns about repeated reads of the page's own canvas.
  const copy = new OffscreenCanvas(size, size).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, -left, -top);
  const { data } = copy.getImageData(0, 0, size, size);
  return data.some((value, i) => i % 4 === 3 && value > 128) === wanted;
}
