// The playground: a file, a grid of samples, a slider for each latent axis, a line between two seeds.
// ?model=URL names the file to load (model.tflite beside this page by default).

import {loadAndCompile, loadLiteRt, Tensor} from '@litertjs/core';
import {describe, unfit} from './tflite.js';

const REACH = 3;  // of the sliders at least, in standard deviations of a standard normal
const $ = (id) => document.getElementById(id);
const times = [];  // of the latest decodes, milliseconds

let vae = null;

class Vae {
  constructor(compiled, {signatures}) {
    this.compiled = compiled;
    this.signatures = signatures;
    [, this.height, this.width, this.channels] = signatures.decode.outputs.mean.shape;
    this.latentDim = signatures.decode.inputs.z.shape[1];
    this.batch = signatures.decode.inputs.z.shape[0];
  }

  async run(signature, name, data) {
    const input = new Tensor(data, this.signatures[signature].inputs[name].shape);
    const outputs = await this.compiled.run(signature, {[name]: input});
    input.delete();
    const arrays = {};
    for (const [key, tensor] of Object.entries(outputs)) {
      arrays[key] = Float32Array.from(await tensor.data());
      tensor.delete();
    }
    return arrays;
  }

  async generate(seed) {
    const words = new Int32Array([Number(BigInt.asIntN(32, seed)), Number(BigInt.asIntN(32, seed >> 32n))]);
    return this.pictures((await this.run('generate', 'seed', words)).mean);
  }

  async decode(z) {
    const rows = new Float32Array(this.batch * this.latentDim);
    rows.set(z);
    const begun = performance.now();
    const {mean} = await this.run('decode', 'z', rows);
    times.push(performance.now() - begun);
    return this.pictures(mean)[0];
  }

  async encode(picture) {
    const {shape} = this.signatures.encode.inputs.x;
    const rows = new Float32Array(shape.reduce((a, b) => a * b));
    rows.set(picture);
    return (await this.run('encode', 'x', rows)).location.subarray(0, this.latentDim);
  }

  pictures(mean) {
    const size = this.height * this.width * this.channels;
    return Array.from({length: mean.length / size}, (_, i) => mean.subarray(i * size, (i + 1) * size));
  }
}

function draw(canvas, picture) {
  const {width, height, channels} = vae;
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * i + c] = Math.round(255 * picture[channels === 1 ? i : 3 * i + c]);
    }
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext('2d').putImageData(image, 0, 0);
}

function seedOf(input) {
  const text = input.value.trim();
  const seed = /^-?\d+$/.test(text) ? BigInt(text) : null;
  if (seed === null || seed < -(2n ** 63n) || seed >= 2n ** 64n) {
    throw new Error(`The seed has to be an integer of 64 bits. Received: “${input.value}”.`);
  }
  return seed;
}

async function showSamples() {
  const pictures = await vae.generate(seedOf($('seed')));
  $('grid').replaceChildren(...pictures.map((picture, i) => {
    const button = document.createElement('button'), canvas = document.createElement('canvas');
    button.type = 'button';
    button.setAttribute('aria-label', `Sample ${i + 1}: set the sliders to it`);
    button.disabled = !vae.signatures.encode;
    button.append(canvas);
    draw(canvas, picture);
    button.addEventListener('click', guarded(async () => {
      setSliders(await vae.encode(picture));
      await showDecoded();
    }));
    return button;
  }));
}

const sliders = () => [...$('sliders').querySelectorAll('input')];

function setSliders(z) {
  sliders().forEach((slider, i) => {
    slider.max = Math.max(REACH, Math.ceil(Math.abs(z[i])));
    slider.min = -slider.max;
    slider.value = z[i];
    slider.parentElement.querySelector('output').value = Number(slider.value).toFixed(2);
  });
}

function makeSliders() {
  $('sliders').replaceChildren(...Array.from({length: vae.latentDim}, (_, i) => {
    const label = document.createElement('label'), name = document.createElement('span');
    const slider = document.createElement('input'), value = document.createElement('output');
    label.className = 'slider';
    name.textContent = `z ${i + 1}`;
    Object.assign(slider, {type: 'range', min: -REACH, max: REACH, step: 0.05, value: 0});
    value.value = '0.00';
    slider.addEventListener('input', guarded(async () => {
      value.value = Number(slider.value).toFixed(2);
      await showDecoded();
    }));
    label.append(name, slider, value);
    return label;
  }));
}

async function showDecoded() {
  draw($('decoded'), await vae.decode(sliders().map((slider) => Number(slider.value))));
  const recent = times.slice(-20).sort((a, b) => a - b);
  $('time').value = `decoded in ${recent[recent.length >> 1].toFixed(1)} ms`;
}

async function showLine() {
  const ends = [];
  for (const id of ['from', 'to']) {
    ends.push(await vae.encode((await vae.generate(seedOf($(id))))[0]));
  }
  const point = Number($('point').value);
  $('point-value').value = point.toFixed(2);
  draw($('line'), await vae.decode(ends[0].map((a, i) => (1 - point) * a + point * ends[1][i])));
}

// What a control does, one at a time and in order; an error is shown, and the page goes on.
let queue = Promise.resolve(), waiting = 0;
function guarded(action) {
  return (event) => {
    waiting++;
    document.body.dataset.state = 'busy';
    queue = queue.then(() => action(event)).then(() => say('error', ''), (error) => say('error', error.message)).then(() => {
      if (--waiting === 0) document.body.dataset.state = 'ready';
    });
  };
}

function say(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

async function open(bytes, name) {
  document.querySelector('main').hidden = true;
  const file = describe(bytes);
  const reasons = unfit(file);
  if (reasons.length) throw new Error([`${name} cannot be run here.`, ...reasons].join('\n'));
  say('status', `Loading ${name} …`);
  const compiled = await loadAndCompile(bytes, {accelerator: 'wasm', cpuOptions: {numThreads: 1}});
  vae?.compiled.delete();
  vae = new Vae(compiled, file);
  times.length = 0;
  const {metadata} = file;
  const said = metadata ? `${metadata.name} ${metadata.version}, licence: ${metadata.licence}. ` : '';
  $('about').textContent = `${said}${vae.latentDim} latents, pictures of ${vae.width} × ${vae.height}, ` +
      `${(bytes.length / 1e6).toFixed(2)} MB. Nothing leaves this page.`;
  $('samples').hidden = !file.signatures.generate;
  $('between').hidden = !(file.signatures.generate && file.signatures.encode);
  makeSliders();
  if (file.signatures.generate) await showSamples();
  if (!$('between').hidden) await showLine();
  await showDecoded();
  document.querySelector('main').hidden = false;
}

const opened = (read) => guarded(async () => {
  try {
    await open(...await read());
  } finally {
    say('status', '');
  }
});

async function fetched(url) {
  const response = await fetch(url);
  if (!response.ok) {
    throw new Error(`There is no ${url} (${response.status}). Put an exported model.tflite beside this page, name one ` +
                    'with ?model=, or open a file.');
  }
  return [new Uint8Array(await response.arrayBuffer()), url];
}

$('file').addEventListener('change', (event) => {
  const [file] = event.target.files;
  if (file) opened(async () => [new Uint8Array(await file.arrayBuffer()), file.name])();
});
$('seed').addEventListener('change', guarded(showSamples));
for (const [id, step] of [['previous', -1n], ['next', 1n]]) {
  $(id).addEventListener('click', guarded(async () => {
    $('seed').value = seedOf($('seed')) + step;
    await showSamples();
  }));
}
$('zero').addEventListener('click', guarded(async () => {
  setSliders(new Float32Array(vae.latentDim));
  await showDecoded();
}));
for (const id of ['from', 'to']) $(id).addEventListener('change', guarded(showLine));
$('point').addEventListener('input', guarded(showLine));

opened(async () => {
  await loadLiteRt('./node_modules/@litertjs/core/wasm/', {threads: false});
  return fetched(new URLSearchParams(location.search).get('model') ?? 'model.tflite');
})();
