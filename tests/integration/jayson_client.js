// Asks the daemon at argv[2] through jayson's TCP client, unchanged, about an open port, argv[3],
// and a closed one, argv[4]; prints what it was answered as one JSON object.
'use strict';

const jayson = require('jayson');

const [path, open, closed] = process.argv.slice(2);
const client = jayson.client.tcp({path});
const ask = (...args) => new Promise((resolve, reject) => {
  client.request(...args, (error, answer) => error ? reject(error) : resolve(answer));
});

(async () => {
  const seen = {};
  seen.request = await ask('check', {port: Number(open)});
  seen.withId = await ask('check', {port: Number(closed)}, 'my id');
  seen.error = await ask('check', {port: 0});
  seen.unknown = await ask('nonsense', {});
  seen.positional = await ask('check', [80]);
  seen.notification = await ask('check', {port: Number(open)}, null) ?? 'nothing';
  seen.batch = await ask([
    client.request('check', {port: Number(open)}, undefined, false),
    client.request('check', {port: Number(closed)}, undefined, false),
    client.request('check', {port: Number(open)}, null, false),
    client.request('nonsense', {}, undefined, false),
  ]);
  seen.errorAndResult = await new Promise((resolve) => {
    client.request('find', {ports: `${open},${closed}`}, (failure, error, result) => {
      resolve({failure: failure ?? null, error: error ?? null, result});
    });
  });
  seen.many = await Promise.all(Array.from({length: 100},
      () => ask('check', {port: Number(open)})));
  console.log(JSON.stringify(seen));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
