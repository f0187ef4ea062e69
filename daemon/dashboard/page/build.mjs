// node build.mjs FOLDER: makes the page's files there, the same bytes on every machine.
import { build } from "esbuild";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";

const folder = process.argv[2];
if (!folder) throw new Error("usage: node build.mjs FOLDER");
mkdirSync(folder, { recursive: true });

// The licences of what is bundled ask to be kept with it.
const licences = ["preact", "uplot", "marked"]
  .map((name) => `${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, "utf8").trim()}`)
  .join("\n\n----\n\n");

await build({
  entryPoints: [{ in: "src/main.tsx", out: "app" }],
  outdir: folder,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "utf8",
  footer: { js: `/*\n${licences.replaceAll("*/", "* /")}\n*/` },
});
for (const file of ["index.html", "icon.svg"]) copyFileSync(`src/${file}`, `${folder}/${file}`);
