// Makes a component of a policy in JavaScript, with nothing of WASI left in it:
//
//   npm install @bytecodealliance/componentize-js
//   node build.mjs app.js PATH/TO/wit/0.2 forecaster app.wasm
//   tidegate policy wrap app.wasm --declare module.json --out hourly.wasm
//   tidegate policy test hourly.wasm
//
// The engine inside is StarlingMonkey (12 MB). Every feature that asks the system for something is switched
// off: a policy has no clock, no console and no chance but the seeds in its input.

import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';

const [sourcePath, witPath, worldName, out] = process.argv.slice(2);
if (!out) {
  console.error('usage: node build.mjs APP.js WIT-FOLDER WORLD OUT.wasm');
  process.exit(2);
}
const disableFeatures = ['stdio', 'random', 'clocks', 'http', 'fetch-event'];
const { component } = await componentize({ sourcePath, witPath, worldName, disableFeatures });
await writeFile(out, component);
