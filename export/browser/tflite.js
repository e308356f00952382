// Reads what a .tflite file says of itself, without running it: LiteRT.js returns wrong numbers, and no error, for some
// files that it cannot run.

const CUSTOM = 32;  // the number that stands for any op that is not built in
const TYPE_NAMES = {0: 'float32', 1: 'float16', 2: 'int32', 3: 'uint8', 4: 'int64', 6: 'bool', 7: 'int16', 9: 'int8', 17: 'int4'};

const CHECKSUM = '"keras_vae_crc32": "';

// Whether the bytes are those that were written: the metadata hold the CRC-32 of all of them, with zeros in the place of
// the checksum. Files of others have none.
function isIntact(bytes) {
  const text = new TextDecoder('latin1').decode(bytes);  // a character for each byte
  const at = text.indexOf(CHECKSUM);
  if (at < 0) return true;
  const start = at + CHECKSUM.length;
  let crc = -1;
  for (let i = 0; i < bytes.length; i++) {
    crc ^= i >= start && i < start + 8 ? 48 : bytes[i];
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (~crc >>> 0) === parseInt(text.slice(start, start + 8), 16);
}

// FlatBuffers: a table begins with the distance back to its vtable, which holds the place of each field, or 0.
class Table {
  constructor(view, at) {
    this.view = view;
    this.at = at;
  }

  place(field) {
    const vtable = this.at - this.view.getInt32(this.at, true);
    const slot = 4 + 2 * field;
    const distance = slot < this.view.getUint16(vtable, true) ? this.view.getUint16(vtable + slot, true) : 0;
    return distance ? this.at + distance : 0;
  }

  number(field, read, otherwise = 0) {
    const at = this.place(field);
    return at ? this.view[read](at, true) : otherwise;
  }

  vector(field, item) {
    const at = this.place(field);
    if (!at) return [];
    const start = at + this.view.getUint32(at, true);
    return Array.from({length: this.view.getUint32(start, true)}, (_, i) => item(start + 4, i));
  }

  numbers(field) {
    return this.vector(field, (start, i) => this.view.getInt32(start + 4 * i, true));
  }

  tables(field) {
    return this.vector(field, (start, i) => {
      const at = start + 4 * i;
      return new Table(this.view, at + this.view.getUint32(at, true));
    });
  }

  bytes(field) {
    const at = this.place(field);
    if (!at) return new Uint8Array();
    const start = at + this.view.getUint32(at, true);
    return new Uint8Array(this.view.buffer, this.view.byteOffset + start + 4, this.view.getUint32(start, true));
  }

  text(field) {
    return new TextDecoder().decode(this.bytes(field));
  }
}

function ends(tables, tensors) {
  return Object.fromEntries(tables.map((end) => {
    const tensor = tensors[end.number(1, 'getUint32')];
    const shape = tensor.numbers(0), signature = tensor.numbers(7);
    return [end.text(0), {
      shape: signature.length ? signature : shape,
      dtype: TYPE_NAMES[tensor.number(1, 'getInt8')] ?? 'another type',
    }];
  }));
}

// The file's signatures, its metadata (null if it has none of ours) and its custom ops.
export function describe(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const identifier = bytes.byteLength > 8 ? String.fromCharCode(...bytes.subarray(4, 8)) : '';
  if (identifier !== 'TFL3') throw new Error('This is not a LiteRT (.tflite) file.');
  if (!isIntact(bytes)) {
    throw new Error('This LiteRT file is damaged or cut short: its bytes are not those that were written. Fetch it anew, or export it again.');
  }
  try {
    const model = new Table(view, view.getUint32(0, true));
    const graphs = model.tables(2).map((graph) => graph.tables(0));
    const buffers = model.tables(4);
    const entry = model.tables(6).find((each) => each.text(0) === 'keras_vae');
    let metadata = null;
    if (entry) {
      const buffer = buffers[entry.number(1, 'getUint32')];
      const apart = Number(buffer.number(1, 'getBigUint64', 0n)), size = Number(buffer.number(2, 'getBigUint64', 0n));
      const json = apart > 1 ? bytes.subarray(apart, apart + size) : buffer.bytes(0);
      metadata = JSON.parse(new TextDecoder().decode(json));
    }
    const signatures = Object.fromEntries(model.tables(7).map((each) => {
      const tensors = graphs[each.number(4, 'getUint32')];
      return [each.text(2), {inputs: ends(each.tables(0), tensors), outputs: ends(each.tables(1), tensors)}];
    }));
    const customOps = model.tables(1)
        .filter((code) => code.number(3, 'getInt32', code.number(0, 'getInt8')) === CUSTOM)
        .map((code) => code.text(1));
    return {signatures, metadata, customOps};
  } catch (error) {
    throw new Error(`This LiteRT file is damaged or cut short (${error.message}). Export the model again.`);
  }
}

// Why this page cannot run the file, in words; an empty list if it can.
export function unfit({signatures, customOps}) {
  const reasons = [];
  if (customOps.length) {
    reasons.push(`It needs ops that are not built into LiteRT: ${customOps.join(', ')}. Export it with keras-vae, ` +
                 'which uses built-in ops only.');
  }
  const decode = signatures.decode;
  if (!decode) {
    const found = Object.keys(signatures).join(', ') || 'none';
    reasons.push(`It has no signature “decode”; its signatures: ${found}. Expected a file that keras-vae export wrote.`);
    return reasons;
  }
  const all = Object.entries(signatures).flatMap(([name, {inputs, outputs}]) =>
      Object.entries({...inputs, ...outputs}).map(([end, tensor]) => ({name: `${name} ${end}`, end, ...tensor})));
  const listed = (some) => some.map(({name, shape, dtype}) => `${name} ${dtype}[${shape}]`).join(', ');
  const open = all.filter(({shape}) => shape.includes(-1));
  if (open.length) {
    reasons.push(`It takes any number of rows, and LiteRT.js runs fixed shapes only: ${listed(open)}. Export it with ` +
                 '--batch-size 1.');
  }
  const integers = all.filter(({end, dtype}) => dtype !== 'float32' && end !== 'seed');
  if (integers.length) {
    reasons.push(`It takes or gives other numbers than float32: ${listed(integers)}. Export it without integer inputs ` +
                 'and outputs.');
  }
  const {z, ...conditions} = decode.inputs;
  if (!z) reasons.push('Its signature “decode” takes no z.');
  if (Object.keys(conditions).length) {
    reasons.push(`It is a conditional model (${Object.keys(conditions).join(', ')}), which this page has no controls for.`);
  }
  const shape = decode.outputs.mean?.shape ?? [];
  if (shape.length !== 4 || ![1, 3].includes(shape[3])) {
    reasons.push(`It gives [${shape.slice(1)}], which is no picture. Expected [height, width, 1 or 3].`);
  }
  return reasons;
}
