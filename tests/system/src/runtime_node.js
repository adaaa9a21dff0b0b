// SPDX-License-Identifier: Apache-2.0
// What Node.js asks of a kernel. Argument: the part to run. What it prints is the same on every run.
'use strict';
const assert = require('assert');
const child_process = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { pipeline } = require('stream/promises');
const { Transform } = require('stream');
const util = require('util');
const worker = require('worker_threads');
const zlib = require('zlib');

const parts = {
  async files() {
    const top = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'node-'));
    await Promise.all([...Array(100).keys()].map(i => fs.promises.writeFile(path.join(top, `f${i}`), 'x'.repeat(i * 100))));
    const names = await fs.promises.readdir(top);
    const sizes = await Promise.all(names.map(n => fs.promises.stat(path.join(top, n)).then(s => s.size)));
    console.log(names.length, sizes.reduce((a, b) => a + b));
    const handle = await fs.promises.open(path.join(top, 'f5'), 'r+');
    await handle.write('hello', 100);
    await handle.truncate(300);
    console.log((await handle.readFile()).subarray(95, 110).toString());
    await handle.close();
    console.log(await fs.promises.readFile(path.join(top, 'absent')).catch(e => e.code));
    await fs.promises.rename(path.join(top, 'f1'), path.join(top, 'renamed'));
    await fs.promises.rm(top, { recursive: true });
    console.log(fs.existsSync(top));
  },

  async workers() {
    const shared = new SharedArrayBuffer(1024);
    const cells = new Int32Array(shared);
    const all = [...Array(8).keys()].map(id => new Promise((resolve, reject) => {
      const w = new worker.Worker(__filename, { workerData: { shared, id } });
      w.on('message', resolve);
      w.on('error', reject);
    }));
    Atomics.store(cells, 1, 1);
    Atomics.notify(cells, 1);
    console.log((await Promise.all(all)).sort((a, b) => a - b).join(' '), cells[0]);
    const endless = new worker.Worker('for (;;);', { eval: true });
    await new Promise(resolve => endless.on('online', resolve));
    console.log(await endless.terminate());
  },

  async children() {
    console.log(child_process.execFileSync('sh', ['-c', 'echo sync; cat'], { input: 'input' }).toString());
    const exec = util.promisify(child_process.execFile);
    const outs = await Promise.all([...Array(10).keys()].map(i => exec('echo', [`${i}`])));
    console.log(outs.map(o => o.stdout.trim()).join(' '));
    const sleeper = child_process.spawn('sleep', ['1000'], { stdio: 'ignore' });
    setTimeout(() => sleeper.kill('SIGTERM'), 50);
    console.log(await new Promise(resolve => sleeper.on('exit', (code, signal) => resolve([code, signal]))));
    console.log(await exec('false').catch(e => e.code), await exec('/nonexistent').catch(e => e.code));
  },

  async pipes() {
    const cat = child_process.spawn('cat');
    let length = 0;
    cat.stdout.on('data', d => { length += d.length; });
    for (let i = 0; i < 100; i++)
      if (!cat.stdin.write(Buffer.alloc(50000, i)))
        await new Promise(resolve => cat.stdin.once('drain', resolve));
    cat.stdin.end();
    await new Promise(resolve => cat.on('close', resolve));
    console.log(length);
  },

  async crypto() {
    console.log(crypto.createHash('sha256').update('abc').digest('hex'));
    const scrypt = util.promisify(crypto.scrypt);
    const keys = await Promise.all(['a', 'b', 'c', 'd'].map(p => scrypt(p, 'salt', 32)));
    console.log(keys.map(k => k.toString('hex').slice(0, 8)).join(' '));
    const c = crypto.createCipheriv('aes-256-gcm', keys[0], Buffer.alloc(12));
    const data = Buffer.concat([c.update('secret'), c.final()]);
    const d = crypto.createDecipheriv('aes-256-gcm', keys[0], Buffer.alloc(12));
    d.setAuthTag(c.getAuthTag());
    console.log(d.update(data, null, 'utf8') + d.final('utf8'));
    const { publicKey, privateKey } = await util.promisify(crypto.generateKeyPair)('ed25519');
    console.log(crypto.verify(null, data, publicKey, crypto.sign(null, data, privateKey)));
    console.log(new Set([...Array(100)].map(() => crypto.randomBytes(8).toString('hex'))).size);
  },

  async timers() {
    const order = [];
    const start = process.hrtime.bigint();
    setImmediate(() => order.push('immediate'));
    process.nextTick(() => order.push('tick'));
    await Promise.all([30, 10, 20].map(ms => new Promise(resolve => setTimeout(() => { order.push(ms); resolve(); }, ms * 5))));
    let ticks = 0;
    await new Promise(resolve => { const t = setInterval(() => { if (++ticks === 30) { clearInterval(t); resolve(); } }, 1); });
    console.log(order.join(' '), process.hrtime.bigint() - start >= 150000000n);
    process.on('SIGUSR2', s => { console.log('got', s); });
    process.kill(process.pid, 'SIGUSR2');
    await new Promise(resolve => setTimeout(resolve, 100));
  },

  async streams() {
    const name = path.join(os.tmpdir(), `stream-${process.pid}`);
    const upper = new Transform({ transform(chunk, _, done) { done(null, chunk.toString().toUpperCase()); } });
    async function* lines() { for (let i = 0; i < 20000; i++) yield `line ${i}\n`; }
    await pipeline(lines, upper, zlib.createGzip(), fs.createWriteStream(name));
    const hash = crypto.createHash('sha256');
    await pipeline(fs.createReadStream(name), zlib.createGunzip(), hash);
    console.log(hash.digest('hex'));
    fs.unlinkSync(name);
    const garbage = [];
    for (let i = 0; i < 300000; i++)
      garbage[i % 1000] = { i, text: `object ${i}`, more: new Array(20).fill(i) };
    console.log(garbage[999].text);
  },

  async server() {
    const server = http.createServer((request, response) => request.pipe(response));
    await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
    const post = body => new Promise((resolve, reject) => {
      const request = http.request({ port: server.address().port, host: '127.0.0.1', method: 'POST' }, response => {
        const got = [];
        response.on('data', d => got.push(d));
        response.on('end', () => resolve(Buffer.concat(got)));
      });
      request.on('error', reject);
      request.end(body);
    });
    const bodies = [...Array(50).keys()].map(i => Buffer.alloc(i * 5000, i));
    const answers = await Promise.all(bodies.map(post));
    answers.forEach((a, i) => assert(a.equals(bodies[i])));
    console.log(answers.reduce((sum, a) => sum + a.length, 0));
    server.close();
  },
};

if (worker.isMainThread) {
  parts[process.argv[2]]().catch(e => { console.log(e); process.exit(1); });
} else {
  const cells = new Int32Array(worker.workerData.shared);
  Atomics.wait(cells, 1, 0);
  for (let i = 0; i < 10000; i++)
    Atomics.add(cells, 0, 1);
  worker.parentPort.postMessage(worker.workerData.id);
}
