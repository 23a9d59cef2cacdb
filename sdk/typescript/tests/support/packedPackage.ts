/**
 * The package as published, installed into an empty project.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export class PackedPackage {
  private constructor(readonly folder: string) {}

  static install(): PackedPackage {
    const packed = new PackedPackage(mkdtempSync(join(tmpdir(), "switchboard-sdk-")));
    const { folder } = packed;
    execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder]);
    const [archive = ""] = readdirSync(folder);
    packed.write("package.json", '{"private":true}');
    const flags = ["--silent", "--no-audit", "--no-fund", "--offline", "--legacy-peer-deps"];
    packed.run("npm", "install", ...flags, `./${archive}`);
    return packed;
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  /** Runs a command and returns its output. Throws if it fails. */
  run(command: string, ...args: string[]): string {
    return execFileSync(command, args, { cwd: this.folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}
