/**
 * Importing this module mounts a panel with the frames of all WebSockets that the page opens afterwards:
 * `import "switchboard-sdk/devtools"`. Import it before the clients connect, and only while you develop.
 *
 * @packageDocumentation
 */

import { mount } from "./mount.js";

// Server rendering and tests in Node import it, too.
if (typeof document === "object" && typeof WebSocket === "function") mount();
